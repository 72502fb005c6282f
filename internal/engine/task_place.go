package engine

import (
	"slices"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// place puts a live task where its state says that it belongs: a pending task that
// may be assigned now into its host queue, one that must wait into e.due, any other
// into neither. The task is then watched for the next time at which its state
// changes by itself. place is idempotent: call it after any change of the state.
func (e *Engine) place(t *task) {
	waits := t.run == nil && !t.onHold && t.status() == model.StatusPending
	switch due := e.dueTime(t); {
	case !waits:
		e.due.remove(t)
		e.queue.remove(t)
	case due > e.now:
		e.queue.remove(t)
		t.extra.due = due
		e.due.fix(t)
	default:
		e.due.remove(t)
		if t.extra != nil {
			if t.inQueue == 0 {
				e.bindToPartial(t)
			}
			e.updateSet(t)
		}
		if t.inQueue == 0 {
			e.queue.push(t)
		}
	}
	e.updateScheduled(t)
	e.updateWaiting(t)
	e.updateWatch(t)
}

// withdraw takes a task out of everything that place puts it into.
func (e *Engine) withdraw(t *task) {
	e.due.remove(t)
	e.queue.remove(t)
	e.watch.remove(t)
	e.updateScheduled(t)
	e.updateWaiting(t)
}

// dueTime is when a pending task may be assigned. It is computed once for each wait,
// and limited then: a wall clock that is set back must not prolong a backoff.
func (e *Engine) dueTime(t *task) model.Time {
	x := t.extraOrZero()
	switch {
	case t.inQueue > 0:
		return 0
	case t.inDue > 0:
		return x.due
	}
	return max(x.notBefore, min(x.retryAt, e.latestRetry(t)))
}

// latestRetry returns when a backoff is over at the latest: no backoff takes longer
// than the longest, also when the wall clock was set back.
func (e *Engine) latestRetry(t *task) model.Time {
	longest := e.cfg.RetryDelay
	if t.extraOrZero().asked {
		longest = max(longest, e.cfg.RetryAfterMax)
	}
	return e.now.Add(longest)
}

// updateWatch sets the next time at which a task must be looked at: that by which
// its holder must list it, the end of its attempt, or, while it waits in a queue, the
// end of its wait for one worker or of its avoidance of another.
func (e *Engine) updateWatch(t *task) {
	first := model.Time(0)
	limit := func(at model.Time) {
		if at > 0 && (first == 0 || at < first) {
			first = at
		}
	}
	x := t.extraOrZero()
	switch {
	case t.run != nil:
		limit(t.run.listBy)
		limit(x.deadline)
	case t.inQueue > 0:
		limit(x.until)
		for _, a := range x.avoidances {
			limit(a.until)
		}
	}
	if first == 0 {
		e.watch.remove(t)
		return
	}
	t.checkAt = first
	e.watch.fix(t)
}

// updateSet moves a task to the requirement set that its extra asks for; the task
// leaves its queue if that is another one.
func (e *Engine) updateSet(t *task) {
	x, at := t.extraOrZero(), t.queue
	h := placementKey{requirements: at.group.set.requirements, host: at.host, priority: t.priority(), boundTo: x.boundTo}
	h.requirements.disk = diskDemand(x.length)
	if x.boundTo != "" {
		h.requirements.disk = 0 // a part is there
	}
	for _, a := range x.avoidances {
		h.excluded = append(h.excluded, a.worker)
	}
	slices.Sort(h.excluded)
	if s := at.group.set; h.boundTo != s.boundTo || h.requirements.disk != s.requirements.disk || !slices.Equal(h.excluded, s.excluded) {
		e.queue.remove(t)
		e.move(t, h)
	}
}
