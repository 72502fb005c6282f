package app

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aria-cluster/dispatcher/internal/app/process"
)

// closers are the steps that end something, run last to first.
type closers []func(context.Context) error

// add adds a step; its error is prefixed with doing.
func (c *closers) add(doing string, step func(context.Context) error) {
	*c = append(*c, func(ctx context.Context) error {
		if err := step(ctx); err != nil {
			return fmt.Errorf("%s: %w", doing, err)
		}
		return nil
	})
}

// run calls run in a goroutine. The step ends its context and waits until it returns.
func (c *closers) run(doing string, run func(ctx context.Context) error) {
	running, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- run(running) }()
	c.add(doing, func(ctx context.Context) error {
		stop()
		select {
		case err := <-ended:
			return err
		case <-ctx.Done():
			return errors.New("it does not end")
		}
	})
}

// close runs the steps, each within 5 s, and forgets them.
func (c *closers) close() error {
	var errs []error
	for len(*c) > 0 {
		last := len(*c) - 1
		step := (*c)[last]
		*c = (*c)[:last]
		errs = append(errs, runWithTimeout(step))
	}
	return errors.Join(errs...)
}

// runWithTimeout runs one step. A step that ignores its context is abandoned: the process
// ends soon.
func runWithTimeout(step func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), process.StepTimeout)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- step(ctx) }()
	select {
	case err := <-ended:
		return err
	case <-time.After(process.StepTimeout + time.Second):
		return errors.New("a step of the stop hangs")
	}
}
