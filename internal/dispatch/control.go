package dispatch

import (
	"context"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

var (
	errStopped = model.Errorf(model.CodeUnavailable, "the dispatcher has stopped: try again")
	errTimeout = model.Errorf(model.CodeUnavailable, "no answer in time: try again")
)

// runInLoop has the loop call do between two turns, and returns what do returned. It
// returns CodeUnavailable if the loop ends or ctx does first: then do was not
// called, or undo, where there is one, was called with its value. So a caller that
// gives up leaves nothing behind. Value and error are handed over through a channel
// without a buffer: the loop knows whether the caller has taken them.
func runInLoop[T any](ctx context.Context, d *Dispatcher, do func(*loop) (T, error), undo func(*loop, T)) (T, error) {
	type result struct {
		value T
		err   error
	}
	taken := make(chan result)
	control := func(l *loop) {
		if ctx.Err() != nil {
			return
		}
		var r result
		if bug := guard(func() { r.value, r.err = do(l) }); bug != nil {
			l.turn.unload() // whatever it was doing with the engine
			d.logPanic("an operation between two turns panicked", bug)
			r.err = errInternal
		}
		select {
		case taken <- r:
		case <-ctx.Done():
			if r.err == nil && undo != nil {
				undo(l, r.value)
			}
		}
	}
	var none T
	select {
	case d.controls <- control:
	case <-d.stopped:
		return none, errStopped
	case <-ctx.Done():
		return none, errTimeout
	}
	select {
	case r := <-taken:
		return r.value, r.err
	case <-d.stopped:
		return none, errStopped
	case <-ctx.Done():
		return none, errTimeout
	}
}

// alwaysInLoop has the loop call do between two turns even if the caller gives up
// meanwhile: it is for what ends a mode, which would last without end otherwise.
func (d *Dispatcher) alwaysInLoop(ctx context.Context, do func(*loop) error) error {
	done := make(chan error, 1)
	go func() {
		_, err := runInLoop(context.WithoutCancel(ctx), d, func(l *loop) (struct{}, error) {
			return struct{}{}, do(l)
		}, nil)
		done <- err
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return errTimeout
	}
}
