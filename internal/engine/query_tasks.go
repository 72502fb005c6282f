package engine

import (
	"fmt"
	"strings"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// QueryTasks asks for the live state of tasks: Status and Attempt always; the
// WorkerID and the progress, which the store does not have yet, of those that a
// worker holds; the Reason of those that wait. Ended ones are left out.
type QueryTasks struct{ IDs []string }

// Traits implements [Event].
func (q QueryTasks) Traits() Traits { return Traits{Query: true, Entries: len(q.IDs)} }

func (QueryTasks) reads(_ *Engine, ids []string) []string { return ids }

// decide gives what the store does not know of live tasks.
func (q QueryTasks) decide(e *Engine) Answer {
	live := make(map[string]model.TaskState, len(q.IDs))
	for _, id := range q.IDs {
		t := e.tasks[id]
		if t == nil {
			if a, ok := e.unloadable[id]; ok {
				live[id] = model.TaskState{Status: a.status, Attempt: a.attempt, Reason: reasonUnloadable}
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
	switch {
	case t.onHold:
		return reasonOnHold
	case x.retryAt > e.now && t.inDue > 0 && x.asked:
		return "backs off until " + x.retryAt.String() + ": its host asked for that (Retry-After)"
	case x.retryAt > e.now && t.inDue > 0:
		return "backs off until " + x.retryAt.String() + " after a failure"
	case x.notBefore > e.now:
		return "is not to start before " + x.notBefore.String()
	case t.queue.host.full():
		return fmt.Sprintf("waits for its host: %s has %d tasks, as many as limits allow", t.queue.host.name, t.queue.host.running)
	}
	if c := t.coolOf(); c.closed() {
		return e.whyCool(c)
	}
	return e.setReason(t.queue.group.set)
}

// setReason returns the reason why the tasks of a requirement set wait. A missing
// capability is looked up again only after workers have changed.
func (e *Engine) setReason(s *requirementSet) string {
	switch {
	case s.boundTo != "":
		return "waits for the worker " + s.boundTo + ", which has a part of its file"
	case e.canServe(s, ""):
		return "waits for a free slot"
	}
	if s.reasonFor != e.queue.changes {
		s.reason, s.reasonFor = e.unservableReason(s), e.queue.changes
	}
	return s.reason
}

// unservableReason names what no worker has.
func (e *Engine) unservableReason(s *requirementSet) string {
	q := &e.queue
	if q.accepting == 0 {
		w := e.findUnavailable(func(*worker) bool { return true })
		if w == nil || w.lost {
			return "no worker is online"
		}
		return "no worker takes new work: " + w.unavailableReason()
	}
	atoms := q.requiredCapabilities(&s.requirements)
	for _, atom := range atoms {
		if q.capabilityCounts[atom] == 0 && (s.requirements.scheme == "bt" || s.requirements.scheme == "metalink" || atom != schemeCapability(s.requirements.scheme) || q.capabilityCounts[schemeCapability(anyScheme)] == 0) {
			if w := e.findUnavailable(func(w *worker) bool { return hasCapability(&w.Capabilities, atom) }); w != nil {
				return "no worker with " + atom + " takes new work: " + w.unavailableReason()
			}
			return "no worker has " + atom
		}
	}
	switch {
	case s.accepting > 0:
		return "every worker that could take it has just failed or refused it"
	case s.requirements.disk > 0:
		return fmt.Sprintf("no worker that could take it has %d MiB of free disk", s.requirements.disk>>20)
	}
	if w := e.findUnavailable(func(w *worker) bool {
		return q.missingRequirement(&s.requirements, &w.Capabilities, q.diskTier(w)) == ""
	}); w != nil {
		return "no worker with all of " + strings.Join(atoms, ", ") + " takes new work: " + w.unavailableReason()
	}
	return "no worker has all of " + strings.Join(atoms, ", ")
}

// findUnavailable returns the first worker by name that matches and takes nothing new, one
// that is online before one that is offline; or nil.
func (e *Engine) findUnavailable(matches func(*worker) bool) *worker {
	var offline *worker
	for _, w := range e.workersByName() {
		switch {
		case w.isAccepting || !matches(w):
		case !w.lost:
			return w
		case offline == nil:
			offline = w
		}
	}
	return offline
}

// unavailableReason names the worker that takes nothing new, and the reason.
func (w *worker) unavailableReason() string {
	text := w.ID + " is " + string(w.status())
	if reason := w.statusReason(); reason != "" {
		text += " (" + reason + ")"
	}
	return text
}
