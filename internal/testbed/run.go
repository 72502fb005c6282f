package testbed

import (
	"context"
	"testing"
)

// Running is a Run(ctx) under way.
type Running struct {
	cancel context.CancelFunc
	ended  chan struct{} // closed when it has returned
	err    error
}

// Run calls run in a goroutine, until Stop or the end of the test. An error fails the
// test, unless Stop has returned it.
func Run(t testing.TB, run func(context.Context) error) *Running {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r := &Running{cancel: cancel, ended: make(chan struct{})}
	go func() {
		defer close(r.ended)
		r.err = run(ctx)
	}()
	t.Cleanup(func() {
		if ctx.Err() != nil {
			return // Stop has returned the error
		}
		if err := r.Stop(t); err != nil {
			t.Error(err)
		}
	})
	return r
}

// Stop ends the context of run, waits until it returns, and returns its error.
func (r *Running) Stop(t testing.TB) error {
	t.Helper()
	r.cancel()
	Receive(t, r.ended)
	return r.err
}
