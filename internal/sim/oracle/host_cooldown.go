package oracle

import (
	"slices"
	"strings"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// trialTime is how long after a wait one task at a time begins at a host that does not
// answer clearly.
const trialTime = model.Time(60_000)

// cooldownKey is a client and the host of its tasks' url. A cool-down concerns no others.
type cooldownKey struct{ client, host string }

// cooldown is a wait that a host asked a client for, and what follows it.
type cooldown struct {
	until    model.Time // end of the wait
	openAt   model.Time // from then on it keeps no task waiting; 0 = the wait is not over
	begunIn  int        // the turn in which the host last asked
	trial    *taskHistory
	attempt  int64 // of the trial
	losses   int   // of its task when it began
	progress bool  // a trial made progress: the cool-down may be over
}

func keyOf(t *model.Task) cooldownKey { return cooldownKey{t.Client, hostOf(t)} }

// recordWait notes the wait that a server asked for.
func (s *statement) recordWait(r *model.Report) {
	if r.Status == model.ReportFailed && r.Error.Class == model.ClassRetryable && r.RetryAfter > 0 {
		s.waits = append(s.waits, r.RetryAfter)
		s.message = r.Error.Message
	}
}

// checkCooldowns checks the waits that began in a turn, and then the attempts that did.
func (c *Oracle) checkCooldowns() {
	for i := range c.turn.changes {
		c.checkAskedWait(&c.turn.changes[i])
	}
	for i := range c.turn.changes {
		c.checkBegin(&c.turn.changes[i])
	}
	for _, cool := range c.cooldowns { // in any order: each by itself
		cool.endTrial()
	}
}

// checkAskedWait requires that an attempt which ends because its server asks for a wait
// begins a cool-down, within retry_after_max, and counts as a failure only after
// retry_after_free others.
func (c *Oracle) checkAskedWait(ch *change) {
	e, b, a := ch.task, ch.before, ch.after
	restarts := c.isRequestedInTurn(e.id, verbRetry) || c.isRequestedInTurn(e.id, verbDelete)
	if a != nil && (b == nil || restarts) {
		e.freeWaits = waitsOf(a)
	}
	if a == nil || b == nil {
		return
	}
	s := e.statementOf(e.assignee(b.Attempt), b.Attempt)
	if a.Error == nil && a.Failures > b.Failures && s != nil { // it was canceled in the same turn
		for _, asked := range s.waits {
			c.beginCooldown(keyOf(b), min((millis(asked)+999)/1000*1000, millis(c.cfg.RetryAfterMax)))
		}
		return
	}
	if a.Error == nil || a.Error == b.Error {
		return
	}
	if s == nil || len(s.waits) == 0 || s.message != a.Error.Message || slices.Contains(e.waitedAttempts, b.Attempt) {
		return
	}
	e.waitedAttempts = append(e.waitedAttempts, b.Attempt)
	wait := c.accepted(s, a.Error.RetryAfter)
	if wait == 0 {
		c.violate("host-cooldown", "%s#%d failed because its host asked to wait %v; accepted are %d s, and retry_after_max is %v",
			e.id, b.Attempt, s.waits, a.Error.RetryAfter, c.cfg.RetryAfterMax)
		return
	}
	if !restarts {
		c.checkFreeWaits(e, b, a)
	}
	c.checkRetryAt(e, b, a, wait)
	c.beginCooldown(keyOf(b), wait)
}

// accepted returns the wait that an attempt asked for, if the engine accepted it within
// the bounds, else 0.
func (c *Oracle) accepted(s *statement, seconds int) model.Time {
	for _, asked := range s.waits {
		if wait := min((millis(asked)+999)/1000*1000, millis(c.cfg.RetryAfterMax)); wait == model.Time(seconds)*1000 {
			return wait
		}
	}
	return 0
}

// checkFreeWaits requires that the first retry_after_free waits of a task do not count as
// failures, and that all others do.
func (c *Oracle) checkFreeWaits(e *taskHistory, b, a *model.Task) {
	free := e.freeWaits < c.cfg.RetryAfterFree
	if free {
		e.freeWaits++
	}
	if free == (a.Failures > b.Failures) || waitsOf(a) != e.freeWaits {
		c.violate("host-cooldown", "%s#%d ends with a wait: failures %d to %d, %d waits are counted as free, and %d of %d are",
			e.id, b.Attempt, b.Failures, a.Failures, waitsOf(a), e.freeWaits, c.cfg.RetryAfterFree)
	}
}

// checkRetryAt requires that the task itself waits as long as its host asked, or as long
// as its failures demand.
func (c *Oracle) checkRetryAt(e *taskHistory, b, a *model.Task, wait model.Time) {
	if a.Attempt != b.Attempt || a.Status != model.StatusPending || c.isRequestedInTurn(e.id, verbUpdate) ||
		c.isRequestedInTurn(e.id, verbPause) || c.isRequestedInTurn(e.id, verbRetry) {
		return
	}
	least, most := wait, wait
	if a.Failures > b.Failures {
		backoff := c.backoffOf(a.Failures)
		least, most = max(wait, backoff/2), max(wait, backoff)
	}
	if left := a.RetryAt - c.world.Wall(); left < least-1 || left > most {
		c.violate("host-cooldown", "%s waits %d ms, and its host asked for %d", e.id, left, wait)
	}
}

// beginCooldown begins or extends a cool-down.
func (c *Oracle) beginCooldown(key cooldownKey, wait model.Time) {
	until := c.world.Now() + wait
	if old := c.cooldowns[key]; old != nil {
		until = max(until, old.until)
	}
	if key.host != "" {
		c.cooldowns[key] = &cooldown{until: until, begunIn: c.world.Turns()}
	}
}

// checkBegin requires that no attempt begins at a host that asked its client to wait, and
// that after the wait one begins at a time.
func (c *Oracle) checkBegin(ch *change) {
	e, b, a := ch.task, ch.before, ch.after
	if a == nil || !a.Status.Active() || b != nil && b.Attempt == a.Attempt {
		return
	}
	cool, now := c.cooldowns[keyOf(a)], c.world.Now()
	if cool != nil {
		cool.endTrial() // it may have completed earlier in this turn
	}
	switch {
	case cool == nil || now >= cool.until+trialTime:
	case now < cool.until && cool.begunIn == c.world.Turns() && c.isRequestedInTurn(e.id, verbUpdate): // it began before the host asked
	case now < cool.until:
		c.violate("host-cooldown", "%s#%d begins %d ms before the wait of %s at %s is over", e.id, a.Attempt, cool.until-now, a.Client, hostOf(a))
	case cool.isTried() && cool.trial != e:
		c.violate("host-cooldown", "%s#%d begins, and %s#%d still tries %s for %s", e.id, a.Attempt, cool.trial.id, cool.attempt, hostOf(a), a.Client)
	default:
		cool.trial, cool.attempt, cool.losses = e, a.Attempt, a.Losses
	}
}

// checkTrialAhead requires that a task which tries a host after a wait is not given to a worker
// beyond its slots: the other tasks wait for it.
func (c *Oracle) checkTrialAhead(e *taskHistory, k *workerHistory) {
	if cool := c.cooldowns[keyOf(e.row)]; cool != nil && cool.trial == e && cool.attempt == e.row.Attempt && !cool.progress {
		c.violate("host-cooldown", "%s#%d tries %s and is given to %s, which has no free slot", e.id, e.row.Attempt, hostOf(e.row), k.name)
	}
}

// isTried reports whether a task tries the host, without progress.
func (cool *cooldown) isTried() bool {
	if cool.trial == nil || cool.progress {
		return false
	}
	t := cool.trial.row
	if s := cool.trial.statementOf(cool.trial.assignee(cool.attempt), cool.attempt); s != nil && s.hasBytes {
		return false
	}
	return t != nil && t.Status.Active() && t.Attempt == cool.attempt && t.Losses == cool.losses
}

// endTrial notes that the trial is over, or has made progress.
func (cool *cooldown) endTrial() {
	if cool.trial == nil || cool.isTried() {
		return
	}
	s := cool.trial.statementOf(cool.trial.assignee(cool.attempt), cool.attempt)
	row := cool.trial.row
	cool.progress = cool.progress || s != nil && s.hasBytes || row != nil && row.Status == model.StatusCompleted
	cool.trial = nil
}

// endWaits notes at a tick which waits are over.
func (c *Oracle) endWaits() {
	for _, cool := range c.cooldowns { // in any order: each by itself
		if cool.openAt == 0 && cool.until <= c.world.Now() {
			cool.openAt = c.world.Now() + trialTime + 2000
		}
	}
}

// loadCooldowns forgets the cool-downs, except those that the rows of pending tasks have.
func (c *Oracle) loadCooldowns() {
	clear(c.cooldowns)
	for _, e := range c.taskOrder {
		t := e.row
		if t == nil {
			continue
		}
		e.freeWaits = waitsOf(t)
		if left := t.RetryAt - c.world.Wall(); t.Status == model.StatusPending && t.Error != nil && t.Error.RetryAfter > 0 && left > 0 {
			c.beginCooldown(keyOf(t), min(left, millis(c.cfg.RetryAfterMax)))
		}
	}
}

// mayCoolDown reports whether a cool-down may keep a task from its host.
func (c *Oracle) mayCoolDown(e *taskHistory) bool {
	cool := c.cooldowns[keyOf(e.row)]
	return cool != nil && (cool.openAt == 0 || c.world.Now() < cool.openAt)
}

// hasCooledDown reports whether a cool-down may have kept a task that waits from its host.
func (c *Oracle) hasCooledDown(e *taskHistory) bool {
	cool := c.cooldowns[keyOf(e.row)]
	return cool != nil && (cool.openAt == 0 || cool.openAt > e.queuedAt)
}

// checkCooldownReason requires that a task waits for its host only where that asked its
// client to, and not much longer than it asked.
func (c *Oracle) checkCooldownReason(e *taskHistory, reason string) {
	if strings.Contains(reason, "(host_cooldown)") && !c.mayCoolDown(e) {
		c.violate("host-cooldown", "%s of %s %s; no wait is left that %s asked for", e.id, e.row.Client, reason, hostOf(e.row))
	}
}

// waitsOf returns how many waits of a task are counted as free.
func waitsOf(t *model.Task) int {
	if t.Error == nil {
		return 0
	}
	return t.Error.Waits
}
