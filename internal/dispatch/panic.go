package dispatch

import (
	"errors"
	"fmt"
	"runtime/debug"

	"github.com/aria-cluster/dispatcher/internal/engine"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

const (
	maxPanicText  = 300     // bytes of a panic's value that are logged
	maxPanicStack = 4 << 10 // bytes of its stack
	maxPanics     = 16      // events of one batch that may panic; the rest of it is then refused
	bugEvery      = 1000    // milliseconds between two stacks in the log
)

// errInternal is the answer to an event that panicked.
var errInternal = model.Errorf(model.CodeInternal, "a bug in the dispatcher; its log says more")

// errTooManyPanics is the answer to the rest of a batch with too many panics.
var errTooManyPanics = model.Errorf(model.CodeUnavailable, "too many requests of one batch failed by a bug in the dispatcher: try again")

// panicError is a panic that was recovered.
type panicError struct {
	at    int // index of the event that panicked, -1 = outside the events
	value string
	stack string
}

// panicked makes an error of what recover returned.
func panicked(at int, value any) *panicError {
	text, stack := fmt.Sprint(value), string(debug.Stack())
	return &panicError{at, text[:min(len(text), maxPanicText)], stack[:min(len(stack), maxPanicStack)]}
}

func (e *panicError) Error() string { return "panic: " + e.value }

// panickedAt returns the index of the event that panicked, -1 if the error is another one.
func panickedAt(err error) int {
	if p := (*panicError)(nil); errors.As(err, &p) {
		return p.at
	}
	return -1
}

// isBug reports whether a turn failed for a bug and not for the store's state: then
// trying the same batch again fails again.
func isBug(err error) bool {
	var p *panicError
	var e *model.Error
	return errors.As(err, &p) || errors.As(err, &e) && e.Code == model.CodeInternal
}

// guard calls do and returns its panic as an error, or nil.
func guard(do func()) (bug *panicError) {
	defer func() {
		if p := recover(); p != nil {
			bug = panicked(-1, p)
		}
	}()
	do()
	return nil
}

// logPanic logs a panic. A poison message may come many times a second: then one
// stack a second is logged, with how many there were.
func (d *Dispatcher) logPanic(text string, bug *panicError, args ...any) {
	now := d.clock().Steady
	d.panics++
	if d.panicLoggedAt > 0 && now-d.panicLoggedAt < bugEvery {
		return
	}
	args = append(args, "error", bug.value, "times", d.panics, "stack", bug.stack)
	d.panicLoggedAt, d.panics = max(now, 1), 0
	d.cfg.Logger.Error(text, args...)
}

// nameOf returns the keys of the log for an event.
func nameOf(ev engine.Event) []any {
	args := []any{"event", fmt.Sprintf("%T", ev)}
	t := ev.Traits()
	for _, key := range [][2]string{{"client", t.Client}, {"worker", t.Worker}, {"task", t.Task}} {
		if key[1] != "" {
			args = append(args, key[0], key[1])
		}
	}
	return args
}
