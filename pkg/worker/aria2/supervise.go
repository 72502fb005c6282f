package aria2

import (
	"context"
	"errors"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// steadyAfter is how long an aria2c must have lived for its end to count as the
// first one again.
const steadyAfter = 5 * time.Second

// supervise keeps one aria2c running until ctx ends, beginning with the one that
// is there, and ends the last one in order.
func (e *Engine) supervise(ctx context.Context, p *process, c *client) {
	defer close(e.stopped)
	delay := backoff.NewExponentialBackOff()
	delay.InitialInterval = 200 * time.Millisecond
	delay.MaxInterval = 10 * time.Second
	for {
		started := time.Now()
		if p != nil {
			c = e.attend(ctx, p, c)
			e.setSession(session{})
			if ctx.Err() != nil {
				if p.attach != nil && c != nil {
					e.leave(c)
				} else {
					p.shutdown(c, e.cfg.Logger)
				}
				if c != nil {
					c.fail(errClosed)
				}
				return
			}
			p.kill() // it has ended already, or does not answer
			if time.Since(started) > steadyAfter {
				delay.Reset()
			}
		}
		wait := delay.NextBackOff()
		if p != nil {
			e.cfg.Logger.Warn("aria2c has ended; starting it again", "error", p.err, "in", wait)
		}
		if !pause(ctx, wait) {
			return
		}
		var err error
		if p, err = e.startProcess(ctx); err != nil {
			if ctx.Err() == nil {
				e.cfg.Logger.Error("aria2c cannot be started", "error", err)
			}
			p = nil
		}
		c = nil
	}
}

// attend keeps a connection to a process until ctx or the process ends, or the
// process can no longer be reached. It returns the connection that is left.
func (e *Engine) attend(ctx context.Context, p *process, c *client) *client {
	for {
		if c == nil {
			if c = e.connect(ctx, p); c == nil {
				return nil
			}
		}
		e.setSession(session{p, c})
		select {
		case <-ctx.Done():
			return c
		case <-p.exited:
			c.fail(errors.New("aria2c has ended"))
			return nil
		case <-c.done:
			e.setSession(session{process: p})
			if p.alive() && ctx.Err() == nil {
				e.cfg.Logger.Warn("the connection to aria2c broke; connecting again", "error", c.cause())
			}
			c = nil
		}
	}
}

// connect dials for some time; nil means that it is no use. An attached aria2c
// that cannot be reached may still write: only when it was started again is it
// known to have ended.
func (e *Engine) connect(ctx context.Context, p *process) *client {
	for try := 0; try < 5 || p.attach != nil; try++ {
		if !p.alive() || ctx.Err() != nil {
			return nil
		}
		c, err := p.dial(ctx, e.hint)
		if err == nil {
			return c
		}
		e.cfg.Logger.Debug("aria2c cannot be reached", "error", err)
		if !pause(ctx, time.Duration(min(try+1, 10))*200*time.Millisecond) {
			return nil
		}
	}
	return nil
}
