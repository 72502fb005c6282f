package oracle

import (
	"slices"
	"strings"

	"github.com/aria-cluster/dispatcher/internal/engine/placement"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// workerHistory holds the messages of and about one worker.
type workerHistory struct {
	name       string
	heartbeat  *model.Heartbeat // the last one that it took
	heardAt    model.Time
	registered bool // has been heard since the last load
	isLive     bool // and is neither lost nor gone
	leaving    bool
	overdue    bool // its silence had lasted long enough when it was excused
	leavingAt  model.Time
	stopping   map[string]stopping
	removals   int        // that operators have requested
	resumes    int        // resumes that operators have requested
	undrains   int        // that were done
	assignedAt model.Time // the last time that it got a task
	failures   int        // that may be its fault, since a task was completed here
	failedAt   model.Time // the last of them
	freeSince  model.Time // it has had a free slot, and has got no task; 0 = it has none
}

// stopping is an attempt that a worker was ordered to drop, and that uses a slot until
// it has; if that is not certain, it may.
type stopping struct {
	attempt int64
	certain bool
}

// disconnect notes that a worker is lost or has left: its drops are done.
func (c *Oracle) disconnect(k *workerHistory) {
	k.isLive = false
	clear(k.stopping)
}

// forgetWorker notes that the dispatcher has forgotten a worker.
func (c *Oracle) forgetWorker(k *workerHistory) {
	c.disconnect(k)
	k.heartbeat, k.registered = nil, false
}

func (c *Oracle) markStopping(k *workerHistory, id string, attempt int64, certain bool) {
	old, ok := k.stopping[id]
	switch {
	case ok && old.certain && old.attempt == attempt:
	case ok && old.attempt != attempt && k.heartbeat != nil && lists(k.heartbeat, model.TaskRef{ID: id, Attempt: old.attempt}):
		k.stopping[id] = stopping{old.attempt, false} // the new one may only be to erase bytes
	default:
		k.stopping[id] = stopping{attempt, certain}
	}
}

// lists reports whether a heartbeat lists an attempt.
func lists(h *model.Heartbeat, ref model.TaskRef) bool {
	return slices.ContainsFunc(h.Tasks, func(r model.Report) bool { return r.Ref() == ref })
}

// countSlots is the slots of a worker that are taken, for certain and at most.
func (c *Oracle) countSlots(k *workerHistory) (certain, most int) {
	for _, e := range c.taskOrder {
		if e.row != nil && e.row.WorkerID == k.name {
			certain++
		}
	}
	most = certain
	for _, s := range k.stopping { // in any order: a sum
		most++
		if s.certain {
			certain++
		}
	}
	return certain, most
}

// isDrained reports whether an operator has the worker take nothing new.
func (c *Oracle) isDrained(k *workerHistory) bool {
	row := c.workerRows[k.name]
	return row != nil && row.Drained
}

// acceptsWork reports whether a worker takes anything new at all.
func (c *Oracle) acceptsWork(k *workerHistory) bool {
	return k.isLive && k.heartbeat != nil && k.heartbeat.State == model.StateReady && !c.isDrained(k) && isHealthy(k)
}

// mayBeOnTrial reports whether a worker may get one task for each heartbeat interval only.
func mayBeOnTrial(k *workerHistory) bool { return k.failures >= 3 }

// hadItsTrial reports whether a worker may wait for its next heartbeat before it gets a task.
func (c *Oracle) hadItsTrial(k *workerHistory) bool {
	return mayBeOnTrial(k) && c.world.Now()-k.assignedAt < 3*millis(c.cfg.HeartbeatInterval)
}

// noteEnd notes how an attempt at a worker ended.
func (c *Oracle) noteEnd(k *workerHistory, failed bool) {
	switch now := c.world.Now(); {
	case failed:
		k.failures++
		k.failedAt = now
	case k.failedAt != now: // of two reports in a turn the other one may be the later
		k.failures = 0
	}
}

// isHealthy reports whether some health metric of a worker is not at its worst.
func isHealthy(k *workerHistory) bool {
	m := &k.heartbeat.HealthMetrics
	return m.CPUUsage < 100 || m.MemoryUsage < 100 || m.DiskUsage < 100
}

// hasDiskFor reports whether the worker surely has room for the whole file.
func hasDiskFor(k *workerHistory, t *model.Task) bool {
	return t.TotalLength < 1<<20 || k.heartbeat.HealthMetrics.DiskFree >= t.TotalLength*5/4
}

// isCapable reports whether a worker has what a task needs, by its last heartbeat.
func (c *Oracle) isCapable(k *workerHistory, t *model.Task) bool {
	caps := &k.heartbeat.Capabilities
	if !c.tagsOnlyRank() {
		for name, value := range t.Tags { // in any order: all are needed
			if caps.Tags[name] != value {
				return false
			}
		}
	}
	if free := k.heartbeat.HealthMetrics.DiskFree; free > 0 && t.TotalLength >= 1<<20 && free < t.TotalLength && t.LastWorkerID != k.name {
		return false
	}
	if t.Folder != "" && !slices.Contains(caps.Folders, t.Folder) {
		return false
	}
	scheme, _, _ := strings.Cut(t.URL, ":")
	if scheme == "magnet" {
		return caps.SupportsBT
	}
	return len(caps.Protocols) == 0 || slices.Contains(caps.Protocols, scheme)
}

func (c *Oracle) tagsOnlyRank() bool { return c.cfg.Strategy == placement.StrategyTags }

// listsPartially reports whether a worker lists only a part: from it nothing is taken.
func (c *Oracle) listsPartially(k *workerHistory) bool {
	return k.heartbeat != nil && k.heartbeat.Partial
}
