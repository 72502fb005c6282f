package engine

import (
	"fmt"

	"github.com/aria-cluster/dispatcher/internal/engine/placement"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// QueryTasks asks for the live state of tasks: Status and Attempt always; the
// WorkerID and the progress, which the store does not have yet, of those that a
// worker holds; the Reason of those that wait. Ended ones are left out.
type QueryTasks struct{ IDs []string }

// Traits implements [Event].
func (q QueryTasks) Traits() Traits { return Traits{Query: true, Entries: len(q.IDs)} }

func (QueryTasks) reads(_ *Engine, ids []string) []string { return ids }

// decide returns what only the engine has of live tasks.
func (q QueryTasks) decide(e *Engine) Answer {
	live := make(map[string]model.TaskState, len(q.IDs))
	for _, id := range q.IDs {
		t := e.tasks[id]
		if t == nil {
			if a, ok := e.unloadable[id]; ok {
				live[id] = model.TaskState{Status: a.status, Attempt: a.attempt, Reason: a.reason}
			}
			continue
		}
		state := model.TaskState{Status: t.status(), Attempt: t.attempt}
		if t.run != nil {
			state = t.run.progress.state()
			state.Status, state.Attempt, state.WorkerID = t.status(), t.attempt, t.workerID()
		}
		if t.status() == model.StatusPending {
			state.Reason = e.waitReason(t)
		}
		live[id] = state
	}
	return Answer{Live: live}
}

// Reasons for which a task waits whatever the workers can do.
const (
	reasonOnHold     = "is held back until its import is verified"
	reasonUnloadable = "cannot be loaded: a bug in the dispatcher; its log says more"
)

// waitReason returns the reason why a pending task waits.
func (e *Engine) waitReason(t *task) string {
	x := t.extraOrZero()
	_, deferred := t.Due()
	switch {
	case t.onHold:
		return reasonOnHold
	case x.retryAt > e.now && deferred && x.asked:
		return "backs off until " + x.retryAt.String() + ": its host asked for that (Retry-After)"
	case x.retryAt > e.now && deferred:
		return "backs off until " + x.retryAt.String() + " after a failure"
	case x.notBefore > e.now:
		return "is not to start before " + x.notBefore.String()
	case t.Host().IsFull():
		return fmt.Sprintf("waits for its host: %s has as many tasks as limits allow (%d)", t.Host().Name(), t.Host().Running())
	}
	if c, ok := t.Cooldown(); ok {
		return e.cooldownReason(c)
	}
	return e.index.Reason(&t.Task)
}

// cooldownReason says in words what a task of a client waits for at its host.
func (e *Engine) cooldownReason(c placement.Cooldown) string {
	const way = "; an update of its url goes to another host"
	if c.Trial == "" {
		return "waits for its host (host_cooldown): " + c.Host + " asked this client to wait until " +
			e.now.Add(c.Until.Sub(e.steady)).String() + way
	}
	return "waits for its host (host_cooldown): " + c.Host + " had asked this client to wait, and the task " +
		c.Trial + " tries first" + way
}

// unavailableReason names the worker that takes nothing new, and the reason.
func (w *worker) unavailableReason() string {
	text := w.ID + " is " + string(w.status())
	if reason := w.statusReason(); reason != "" {
		text += " (" + reason + ")"
	}
	return text
}
