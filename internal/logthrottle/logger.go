package logthrottle

import (
	"cmp"
	"log/slog"
)

// Logger logs events that may occur thousands of times a second: once, and then at most
// once in the quiet time, with the number of suppressed lines.
type Logger struct {
	logger *slog.Logger
	limit  Throttle
}

// New makes a Logger; nil discards everything.
func New(logger *slog.Logger) *Logger {
	return &Logger{logger: cmp.Or(logger, slog.New(slog.DiscardHandler))}
}

// Warn logs a warning.
func (l *Logger) Warn(msg string, args ...any) { l.limit.Log(l.logger, slog.LevelWarn, msg, args...) }
