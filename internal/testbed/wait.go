package testbed

import (
	"context"
	"testing"
	"time"
)

// Patience bounds a wait for what should happen at once, on a machine that is busy
// with other things.
const Patience = 20 * time.Second

// maxPoll is the longest pause between two polls of Within: polling must not slow down
// what it waits for.
const maxPoll = 50 * time.Millisecond

// Eventually waits until the condition holds, for Patience at most; then the test
// ends with what was waited for.
func Eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	Within(t, Patience, what, holds)
}

// Within is Eventually with another limit.
func Within(t testing.TB, limit time.Duration, what string, holds func() bool) {
	t.Helper()
	deadline := time.Now().Add(limit)
	for pause := time.Millisecond; !holds(); pause = min(2*pause, maxPoll) {
		if time.Now().After(deadline) {
			t.Fatalf("after %v still not: %s", limit, what)
		}
		<-time.After(pause)
	}
}

// Receive waits for the next value of a channel, or its end, for Patience at most.
func Receive[T any](t testing.TB, ch <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-ch:
	case <-time.After(Patience):
		t.Fatalf("nothing came within %v", Patience)
	}
	return v
}

// contextTime bounds a context. It is more than Patience: most tests do all their steps with one.
const contextTime = 3 * Patience

// Context ends after a minute, or when the test and its cleanups have ended.
func Context(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), contextTime)
	t.Cleanup(cancel)
	return ctx
}
