package oracle

import (
	"strings"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// checkBackoff requires at least half of the wait that follows from the number of
// failures.
func (c *Oracle) checkBackoff(e *taskHistory, b, a *model.Task) {
	if c.isRequestedInTurn(e.id, verbUpdate) || c.isRequestedInTurn(e.id, verbPause) {
		return // another link has not failed yet, and a pause ends the wait
	}
	most := c.backoffOf(a.Failures)
	if a.Attempt != b.Attempt || a.Status != model.StatusPending {
		c.violate("backoff", "%s failed for the %d. time and is %s at once", e.id, a.Failures, a.Status)
		return
	}
	if left := a.RetryAt - c.world.Wall(); left < most/2-1 || left > most {
		c.violate("backoff", "%s failed for the %d. time and waits %d ms, not %d to %d", e.id, a.Failures, left, most/2, most)
	}
}

// checkNotBefore requires that a task is not assigned before its not_before and the end
// of its backoff.
func (c *Oracle) checkNotBefore(ch *change, k *workerHistory) {
	e, a, b := ch.task, ch.after, ch.before
	switch {
	case a.NotBefore > c.world.Wall() && a.Attempt == 1 && c.clockSetBackAt == 0:
		c.violate("backoff", "%s is assigned to %s before its not_before", e.id, k.name)
	case b != nil && b.RetryAt > c.world.Wall() && c.clockSetBackAt < e.statusSince &&
		b.RetryAt-c.world.Wall() <= c.longestBackoff(b): // a longer one is older than a jump of the clock
		c.violate("backoff", "%s is assigned to %s, %d ms before its backoff ends", e.id, k.name, b.RetryAt-c.world.Wall())
	}
}

// checkLongestBackoff requires that no backoff takes longer than the longest one, whatever became
// of the wall clock: not by the rows, but by what the engine says that it waits for.
func (c *Oracle) checkLongestBackoff(e *taskHistory, reason string) {
	longest := c.longestBackoff(e.row)
	quiet := c.world.Now() - max(c.statusSince(e), e.queuedAt, c.clockChangedAt, c.disturbedAt)
	if strings.HasPrefix(reason, "backs off") && e.row.NotBefore <= c.world.Wall() && quiet > longest+5000 {
		c.violate("backoff", "%s %s; that it does since %d ms, and the longest backoff takes %d", e.id, reason, quiet, longest)
	}
}

// longestBackoff is the longest wait of a task, that which its server asked for included.
func (c *Oracle) longestBackoff(t *model.Task) model.Time {
	longest := c.cfg.RetryDelay
	if t.Error != nil && t.Error.RetryAfter > 0 {
		longest = max(longest, c.cfg.RetryAfterMax)
	}
	return millis(longest)
}

// backoffOf is the longest wait that a number of failures demands.
func (c *Oracle) backoffOf(failures int) model.Time {
	wait := c.cfg.RetryBase
	for i := 1; i < failures && wait < c.cfg.RetryDelay; i++ {
		wait *= 2
	}
	return millis(min(wait, c.cfg.RetryDelay))
}
