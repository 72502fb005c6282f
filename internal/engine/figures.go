package engine

import (
	"maps"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// Figures is how many tasks and workers there are in each state.
type Figures struct {
	Tasks           model.Counts
	Waiting         map[WaitReason]int                // pending tasks, by why they wait
	OldestWaiting   map[model.Priority]model.Duration // how long the first of those in the queue has waited
	DownloadSpeed   int64                             // of all downloads, in bytes a second
	Workers         map[model.WorkerStatus]int
	Slots           int // of the workers that are neither offline nor in an error
	UsedSlots       int
	HeartbeatAgeMax model.Duration // the longest silence of a worker that is not offline
}

// WaitReason is why a pending task is not assigned.
type WaitReason string

// The reasons.
const (
	WaitNoSlot       WaitReason = "no_slot"       // no worker that could take it has a free slot
	WaitBackoff      WaitReason = "backoff"       // before the next attempt
	WaitNotBefore    WaitReason = "not_before"    // its client wants it later
	WaitHostLimit    WaitReason = "host_limit"    // its host has as many tasks as limits allow
	WaitNoWorker     WaitReason = "no_worker"     // no worker that takes new work has what it needs
	WaitAffinity     WaitReason = "affinity"      // for the worker that has a part of its file
	WaitHostCooldown WaitReason = "host_cooldown" // its host asked its client to wait
	WaitHeld         WaitReason = "held"          // until its import is verified, or because it cannot be loaded
)

// workerStatuses are those that a known worker can have.
const workerStatuses = 5

// Figures counts. It costs a step a worker, a requirement set and a cool-down, and
// nothing a task.
func (e *Engine) Figures() Figures {
	f := Figures{
		Tasks: maps.Clone(e.counts), DownloadSpeed: e.speed,
		Workers: make(map[model.WorkerStatus]int, workerStatuses),
		Waiting: e.waitingByReason(), OldestWaiting: e.oldestWaiting(),
	}
	for _, w := range e.workers { // in any order: sums and a maximum
		status := w.status()
		f.Workers[status]++
		if w.lost {
			continue
		}
		if w.LastHeartbeat > 0 {
			f.HeartbeatAgeMax = max(f.HeartbeatAgeMax, e.now.Sub(w.LastHeartbeat))
		}
		if w.state != model.StateError {
			f.Slots += w.TotalSlots
			f.UsedSlots += w.used()
		}
	}
	return f
}

// waitingByReason counts the pending tasks by why they wait.
func (e *Engine) waitingByReason() map[WaitReason]int {
	cooling := e.countCooling()
	m := map[WaitReason]int{
		WaitNotBefore:    e.scheduled,
		WaitBackoff:      e.due.len() - e.scheduled,
		WaitHostCooldown: cooling,
		WaitHostLimit:    e.queue.parked - cooling,
		WaitHeld:         int(e.counts[model.StatusPending]) - e.due.len(),
	}
	for _, s := range e.queue.sets { // in any order: only sums
		m[WaitHeld] -= s.waiting
		reason := WaitNoWorker
		switch n := s.waiting - s.parked; {
		case n == 0:
			continue
		case s.boundTo != "":
			reason = WaitAffinity
		case e.canServe(s, ""):
			reason = WaitNoSlot
		}
		m[reason] += s.waiting - s.parked
	}
	return m
}

// oldestWaiting returns how long the task has waited that has been in the queue of its
// priority for the longest time.
func (e *Engine) oldestWaiting() map[model.Priority]model.Duration {
	m := make(map[model.Priority]model.Duration, priorities)
	for i := range e.waiting {
		if t := e.waiting[i].first; t != nil {
			x := t.extraOrZero()
			m[model.Priority(i+1)] = max(e.now.Sub(max(t.created, x.notBefore, x.retryAt)), 0)
		}
	}
	return m
}

// waitList is the tasks of one priority that wait in a host queue, in the order in which
// they came there.
type waitList struct{ first, last *task }

// updateWaiting brings a task into the list of its priority while it is in a host queue,
// and takes it out otherwise.
func (e *Engine) updateWaiting(t *task) {
	if waits := t.inQueue > 0; waits == t.inWaiting {
		return
	}
	l := &e.waiting[t.queue.group.level()]
	if t.inWaiting = !t.inWaiting; t.inWaiting {
		t.waitsAfter = l.last
		if l.last != nil {
			l.last.waitsBefore = t
		} else {
			l.first = t
		}
		l.last = t
		return
	}
	before, after := t.waitsAfter, t.waitsBefore
	t.waitsAfter, t.waitsBefore = nil, nil
	if before != nil {
		before.waitsBefore = after
	} else {
		l.first = after
	}
	if after != nil {
		after.waitsAfter = before
	} else {
		l.last = before
	}
}

// updateScheduled counts a task that is due later by the wish of its client.
func (e *Engine) updateScheduled(t *task) {
	x := t.extra
	if x == nil {
		return
	}
	scheduled := t.inDue > 0 && x.notBefore >= x.due
	if scheduled == x.scheduled {
		return
	}
	if x.scheduled = scheduled; scheduled {
		e.scheduled++
	} else {
		e.scheduled--
	}
}
