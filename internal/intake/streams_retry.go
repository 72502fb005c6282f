package intake

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/aria-cluster/dispatcher/pkg/bus"
)

// StreamKeeper creates the streams of a dispatcher that can serve without them.
type StreamKeeper struct {
	conn    *bus.Connection
	options StreamOptions
	logger  *slog.Logger
	retry   bool // the streams could not be created yet
}

// NewStreamKeeper is [EnsureStreams]; but if JetStream is absent, does not answer, or
// denies this user, it logs a warning, and Run retries. An unusable stream is an error.
func NewStreamKeeper(ctx context.Context, conn *bus.Connection, o StreamOptions, logger *slog.Logger) (*StreamKeeper, error) {
	k := &StreamKeeper{conn: conn, options: o, logger: cmp.Or(logger, slog.New(slog.DiscardHandler))}
	err := EnsureStreams(ctx, conn.Current(), o)
	switch {
	case err == nil:
		return k, nil
	case errors.Is(err, errUnusable) || ctx.Err() != nil:
		return nil, fmt.Errorf("streams of %s: %w", o.Prefix, err)
	}
	k.retry = true
	k.logger.Warn("the streams cannot be created now; requests are served", "prefix", o.Prefix, "error", err)
	return k, nil
}

// Run retries until the streams exist or are found unusable, and blocks until ctx ends.
func (k *StreamKeeper) Run(ctx context.Context) error {
	for pause := firstStreamRetry; k.retry; pause = min(2*pause, lastStreamRetry) {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
		switch err := EnsureStreams(ctx, k.conn.Current(), k.options); {
		case ctx.Err() != nil:
			return nil
		case err == nil:
			k.logger.Warn("the streams are created", "prefix", k.options.Prefix)
			k.retry = false
		case errors.Is(err, errUnusable):
			k.logger.Error("the streams cannot be used; no retry", "prefix", k.options.Prefix, "error", err)
			k.retry = false
		}
	}
	<-ctx.Done()
	return nil
}
