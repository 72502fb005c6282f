package daemon

import (
	"context"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
)

// Signals returns a context that ends with the first SIGTERM or SIGINT, so that
// the program stops in good order. The second one ends the process at once.
func Signals(parent context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := signal.NotifyContext(parent, syscall.SIGTERM, os.Interrupt)
	context.AfterFunc(ctx, cancel) // gives the signals back to the system's own way
	return ctx, cancel
}

// NewLogger returns a logger of text lines at the level debug, info, warn or
// error.
func NewLogger(out io.Writer, level string) *slog.Logger {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		l = slog.LevelInfo // the configuration has been validated
	}
	return slog.New(slog.NewTextHandler(out, &slog.HandlerOptions{Level: l}))
}
