package bus

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// quiet is how long a throttle stays silent after it has spoken.
const quiet = 10 * time.Second

// throttle logs what may happen thousands of times a second: once, and then at
// most once in the quiet time, with the number of those it kept back.
type throttle struct {
	logger *slog.Logger

	mu    sync.Mutex
	last  time.Time
	count int
}

func (t *throttle) warn(msg string, args ...any) {
	t.mu.Lock()
	t.count++
	now := time.Now()
	if now.Sub(t.last) < quiet {
		t.mu.Unlock()
		return
	}
	count := t.count
	t.last, t.count = now, 0
	t.mu.Unlock()
	if count > 1 {
		args = append(args, "times", count)
	}
	t.logger.Log(context.Background(), slog.LevelWarn, msg, args...)
}

// orDiscard makes a logger optional.
func orDiscard(l *slog.Logger) *slog.Logger {
	if l == nil {
		return slog.New(slog.DiscardHandler)
	}
	return l
}
