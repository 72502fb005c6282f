// Package goroutine has what a long-running goroutine needs: recovery from a panic, work
// at an interval, and a wait for its end that a context bounds.
package goroutine

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"
)

// maxStack limits the stack of a panic in the log, in bytes.
const maxStack = 4 << 10

// FaultText is what the sender of something that panicked is told.
const FaultText = "a bug in the dispatcher; its log says more"

// Guard calls do and reports whether it panicked, which is a bug and is logged. A
// goroutine that handles messages from outside calls it: an unhandled panic there would
// end the process, and NATS would redeliver the same message to the next one. attrs names
// what panicked, as the arguments of [slog.Logger.Error]; it is called after a panic only,
// because lists of arguments are garbage for each message.
func Guard(logger *slog.Logger, text string, do func(), attrs func() []any) (panicked bool) {
	defer func() {
		if p := recover(); p != nil {
			stack := string(debug.Stack())
			logger.Error(text, append(attrs(), "error", fmt.Sprint(p), "stack", stack[:min(len(stack), maxStack)])...)
			panicked = true
		}
	}()
	do()
	return false
}

// Every calls do at once, and then at the interval until ctx ends. A call that takes
// longer than the interval delays the next one.
func Every(ctx context.Context, interval time.Duration, do func(context.Context)) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		do(ctx)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// Wait returns when the group is done. When ctx ends first it returns an error that
// names what it waited for.
func Wait(ctx context.Context, group *sync.WaitGroup, what string) error {
	done := make(chan struct{})
	go func() { group.Wait(); close(done) }()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%s: %w", what, ctx.Err())
	}
}
