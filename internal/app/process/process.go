package process

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/aria-cluster/dispatcher/internal/config"
)

// Signals returns a context that ends with the first SIGTERM, SIGINT or SIGHUP, so that
// the program stops gracefully. The second one ends the process at once. SIGHUP stays
// ignored under nohup.
func Signals(parent context.Context) (context.Context, context.CancelFunc) {
	stops := []os.Signal{syscall.SIGTERM, os.Interrupt}
	if !signal.Ignored(syscall.SIGHUP) {
		stops = append(stops, syscall.SIGHUP)
	}
	ctx, cancel := signal.NotifyContext(parent, stops...)
	context.AfterFunc(ctx, cancel) // restores the default handling of the signals
	return ctx, cancel
}

// Main calls run with the context of [Signals] and ends the process with the exit code
// that it returns.
func Main(run func(ctx context.Context) int) {
	ctx, stop := Signals(context.Background())
	code := run(ctx)
	stop()
	os.Exit(code)
}

// ExitCode is 0, or 1 for an error; 2 if that is a configuration that cannot be used, such
// as a file that it names.
func ExitCode(err error) int {
	if unusable := new(config.Error); errors.As(err, &unusable) {
		return 2
	}
	if err != nil {
		return 1
	}
	return 0
}

// LogLevel returns a variable at the level debug, info, warn or error. Setting it
// changes the level of the loggers that use it.
func LogLevel(level string) *slog.LevelVar {
	v := new(slog.LevelVar)
	if err := v.UnmarshalText([]byte(strings.ToUpper(level))); err != nil {
		v.Set(slog.LevelInfo) // the configuration has been validated
	}
	return v
}

// Log is a program's logger, and its level if that can be changed.
type Log struct {
	Logger *slog.Logger
	Level  *slog.LevelVar
}

// NewLogger returns a logger at that level, which writes a line in the format text or
// json for each message.
func NewLogger(out io.Writer, format string, level slog.Leveler) *slog.Logger {
	options := &slog.HandlerOptions{Level: level}
	if format == "json" {
		return slog.New(slog.NewJSONHandler(out, options))
	}
	return slog.New(slog.NewTextHandler(out, options))
}
