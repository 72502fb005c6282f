package engine

import (
	"maps"

	"github.com/aria-cluster/dispatcher/internal/engine/placement"
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

// WaitReasons are all of them.
var WaitReasons = []WaitReason{
	WaitNoSlot, WaitBackoff, WaitNotBefore, WaitHostLimit, WaitNoWorker, WaitAffinity, WaitHostCooldown, WaitHeld,
}

// Figures counts. It costs a step a worker, a requirement set and a cool-down, and
// nothing a task.
func (e *Engine) Figures() Figures {
	f := Figures{
		Tasks: maps.Clone(e.counts), DownloadSpeed: e.speed,
		Workers: make(map[model.WorkerStatus]int),
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
	c := e.index.Counts()
	return map[WaitReason]int{
		WaitNoSlot:       c.NoSlot,
		WaitBackoff:      c.Due - c.DueByClient,
		WaitNotBefore:    c.DueByClient,
		WaitHostLimit:    c.HostLimit,
		WaitNoWorker:     c.NoWorker,
		WaitAffinity:     c.Affinity,
		WaitHostCooldown: c.Cooling,
		WaitHeld:         int(e.counts[model.StatusPending]) - c.Due - c.Queued,
	}
}

// oldestWaiting returns how long the task has waited that has been in the queue of its
// priority for the longest time.
func (e *Engine) oldestWaiting() map[model.Priority]model.Duration {
	m := make(map[model.Priority]model.Duration)
	for p := model.PriorityLow; p <= model.PriorityUrgent; p++ {
		if t := e.index.Oldest(p); t != nil {
			x := e.tasks[t.ID].extraOrZero()
			m[p] = max(e.now.Sub(max(t.Created, x.notBefore, x.retryAt)), 0)
		}
	}
	return m
}

// Sizes is how much an engine holds, for tests that look for growth without limit.
type Sizes struct {
	placement.Sizes

	Tasks, Workers                 int
	Watched, Held, Stopping, Dirty int
}

// Sizes counts what the engine holds now. It costs a walk over the tasks, the sets
// and the workers.
func (e *Engine) Sizes() Sizes {
	s := Sizes{
		Sizes: e.index.Sizes(), Tasks: len(e.tasks), Workers: len(e.workers),
		Watched: e.watch.Len(), Dirty: len(e.dirtyProgress),
	}
	for _, t := range e.tasks { // in any order: only a sum
		if t.onHold {
			s.Held++
		}
	}
	for _, w := range e.workers { // in the same way
		s.Stopping += len(w.dropping) + len(w.erasures)
	}
	return s
}
