// Package logthrottle bounds how many lines a log gets of one kind of message.
package logthrottle

import (
	"cmp"
	"context"
	"log/slog"
	"sync"
	"time"
)

// Quiet is the quiet time of a [Throttle] that has no other.
const Quiet = 10 * time.Second

// Throttle passes Burst messages in each quiet time, and counts the others: the next
// line that passes states how many times it happened. It is safe for concurrent use.
type Throttle struct {
	Burst int           // 0 is 1
	Quiet time.Duration // 0 is [Quiet]

	mu     sync.Mutex
	began  time.Time // of the current quiet time
	passed int       // in it
	count  int       // messages since the last one that passed, with the current one
}

// Log logs the message, or counts it.
func (t *Throttle) Log(logger *slog.Logger, level slog.Level, msg string, args ...any) {
	count := t.take(time.Now())
	if count == 0 {
		return
	}
	if count > 1 {
		args = append(args, "times", count)
	}
	logger.Log(context.Background(), level, msg, args...)
}

// take returns how many messages the current one stands for, 0 if it must not pass.
func (t *Throttle) take(now time.Time) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.count++
	if now.Sub(t.began) >= cmp.Or(t.Quiet, Quiet) {
		t.began, t.passed = now, 0
	}
	if t.passed >= max(t.Burst, 1) {
		return 0
	}
	count := t.count
	t.passed++
	t.count = 0
	return count
}
