package bus

import (
	"log/slog"

	"github.com/aria-cluster/dispatcher/internal/logthrottle"
)

// throttle logs what may happen thousands of times a second: once, and then at
// most once in the quiet time, with the number of those it kept back.
type throttle struct {
	logger *slog.Logger
	limit  logthrottle.Throttle
}

func (t *throttle) warn(msg string, args ...any) {
	t.limit.Log(t.logger, slog.LevelWarn, msg, args...)
}

// orDiscard makes a logger optional.
func orDiscard(l *slog.Logger) *slog.Logger {
	if l == nil {
		return slog.New(slog.DiscardHandler)
	}
	return l
}
