package intake

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/aria-cluster/dispatcher/internal/goroutine"
	"github.com/aria-cluster/dispatcher/pkg/bus"
)

// EnsureStreamsEventually is [EnsureStreams] for a dispatcher that can serve without
// the streams: if JetStream is absent, does not answer, or denies this user, it logs a
// warning and retries until stop is called. stop returns when the retries have ended,
// or ctx's error. An unusable stream is an error at once.
func EnsureStreamsEventually(ctx context.Context, conn *bus.Connection, o StreamOptions, logger *slog.Logger) (stop func(context.Context) error, err error) {
	err = EnsureStreams(ctx, conn.Current(), o)
	switch {
	case err == nil:
		return func(context.Context) error { return nil }, nil
	case errors.Is(err, errUnusable) || ctx.Err() != nil:
		return nil, fmt.Errorf("streams of %s: %w", o.Prefix, err)
	}
	logger = cmp.Or(logger, slog.New(slog.DiscardHandler))
	logger.Warn("the streams cannot be created now; requests are served", "prefix", o.Prefix, "error", err)
	trying, cancel := context.WithCancel(context.Background())
	var tries sync.WaitGroup
	tries.Go(func() { retryEnsure(trying, conn, o, logger) })
	return func(ctx context.Context) error {
		cancel()
		return goroutine.Wait(ctx, &tries, "the retries of the streams")
	}, nil
}

// retryEnsure retries until the streams exist or are found unusable, or ctx ends.
func retryEnsure(ctx context.Context, conn *bus.Connection, o StreamOptions, logger *slog.Logger) {
	for pause := firstStreamRetry; ; pause = min(2*pause, lastStreamRetry) {
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
		switch err := EnsureStreams(ctx, conn.Current(), o); {
		case ctx.Err() != nil:
			return
		case err == nil:
			logger.Warn("the streams are created", "prefix", o.Prefix)
			return
		case errors.Is(err, errUnusable):
			logger.Error("the streams cannot be used; no retry", "prefix", o.Prefix, "error", err)
			return
		}
	}
}
