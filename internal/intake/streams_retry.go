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

// EnsureStreamsEventually is [EnsureStreams] for who can serve without the streams: where
// JetStream is away, does not answer, or does not let this user make them, it warns
// and goes on trying until stop, which returns when it has ended, or ctx's error. It
// returns an error where a stream is not what it has to be.
func EnsureStreamsEventually(ctx context.Context, conn *bus.Connection, o StreamOptions, logger *slog.Logger) (stop func(context.Context) error, err error) {
	err = EnsureStreams(ctx, conn.Current(), o)
	switch {
	case err == nil:
		return func(context.Context) error { return nil }, nil
	case errors.Is(err, errUnusable) || ctx.Err() != nil:
		return nil, fmt.Errorf("streams of %s: %w", o.Prefix, err)
	}
	logger = cmp.Or(logger, slog.New(slog.DiscardHandler))
	logger.Warn("the streams cannot be made now; requests are served meanwhile", "prefix", o.Prefix, "error", err)
	trying, cancel := context.WithCancel(context.Background())
	var tries sync.WaitGroup
	tries.Go(func() { retryEnsure(trying, conn, o, logger) })
	return func(ctx context.Context) error {
		cancel()
		return goroutine.Wait(ctx, &tries, "the making of streams")
	}, nil
}

// retryEnsure tries until the streams are there, can never be, or ctx ends.
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
			logger.Warn("the streams are there", "prefix", o.Prefix)
			return
		case errors.Is(err, errUnusable):
			logger.Error("the streams cannot be used; this is not tried again", "prefix", o.Prefix, "error", err)
			return
		}
	}
}
