package engine

import (
	"slices"

	"github.com/aria-cluster/dispatcher/internal/engine/placement"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// place puts a live task where it belongs by its state: a pending task that
// may be assigned now into the queue of the index, one that must wait among those that
// are due later, any other into neither. The task is then watched until the next time that
// changes its state. place is idempotent: call it after any change of the state.
func (e *Engine) place(t *task) {
	waits := t.run == nil && !t.onHold && t.status() == model.StatusPending
	switch due := e.dueTime(t); {
	case !waits:
		e.index.Withdraw(&t.Task)
	case due > e.now:
		e.index.Defer(&t.Task, due, t.extra.notBefore >= due)
	default:
		if t.extra != nil {
			if !t.IsQueued() {
				e.bindToPartial(t)
			}
			e.constrain(t)
		}
		e.index.Enqueue(&t.Task)
	}
	e.updateWatch(t)
}

// dueTime is when a pending task may be assigned. It is computed once for each wait,
// and limited then: a wall clock that is set back must not prolong a backoff.
func (e *Engine) dueTime(t *task) model.Time {
	if t.IsQueued() {
		return 0
	}
	if due, ok := t.Due(); ok {
		return due
	}
	x := t.extraOrZero()
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
	case t.IsQueued():
		limit(x.until)
		for _, a := range x.avoidances {
			limit(a.until)
		}
	}
	if first == 0 {
		e.watch.Remove(t)
		return
	}
	t.checkAt = first
	e.watch.Fix(t)
}

// maxDoubtfulSets bounds the requirement sets of avoidances that the source may have caused: the
// tasks of one dead host would make one each. It is checked where a set is made: a
// task that waits gets its set only after its backoff.
const maxDoubtfulSets = 200

// constrain tells the index which workers the task's extra leaves for it. The task leaves
// its queue if these are others now.
func (e *Engine) constrain(t *task) {
	x := t.extraOrZero()
	if len(x.avoidances) > 0 && e.index.Sets()-e.index.PlainSets() >= maxDoubtfulSets {
		x.avoidances = slices.DeleteFunc(x.avoidances, func(a avoidance) bool { return a.isDoubtful })
	}
	c := placement.Constraint{BoundTo: x.boundTo, Length: x.length}
	for _, a := range x.avoidances {
		c.Excluded = append(c.Excluded, a.worker)
	}
	e.index.Constrain(&t.Task, c)
}
