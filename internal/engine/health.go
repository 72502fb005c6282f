package engine

import (
	"slices"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// A failure lowers the health of a worker only if the worker is its cause: the URLs of one client
// must not cost the tasks of others their workers. The worker itself counts the failures of its
// files. Any other failure may be that of the source, of the network or of the worker. It is put
// down to the worker if another worker completes the same task afterwards, and once for each
// host in a row: a host that was down for a while makes tasks fail at one worker and succeed at
// another too. Nothing of it is stored: a restart forgets it.
//
// A worker at which every download fails at once, because its network or its disk is broken, has the
// most free slots of all: it would take the first attempt of every task. So after a few such
// failures, of its files too, without a download between them that completed or made progress it is on
// trial: it gets one task for each heartbeat interval. If its tasks do not fail, it holds one more each
// time; the first that it completes ends the trial. Only a failure after the proof of the one before
// counts: in an outage, of one host or of many, all failures come before the first proof.

// healthFloor is the health under which a worker gets no new work.
const healthFloor = 20

// maxFaultsInRow is how many failures put a worker on trial.
const maxFaultsInRow = 3

// maxSuspects bounds the workers that are remembered for one task.
const maxSuspects = 4

// suspicion is that an attempt failed by the fault of a worker.
type suspicion struct {
	worker    string
	isCounted bool  // by the worker itself
	successes int64 // of the worker until then
	proven    int64 // suspicions against it until then
}

// faults are the failures of a worker since its start that are put down to it.
type faults struct {
	count   int64
	site    uint64     // host of the last of them
	proven  int64      // with those that do not count, and one for each new start of the worker
	inRow   int        // each after the proof of the one before, see above
	tried   bool       // it has got its task for this heartbeat interval
	triedAt model.Time // on the alive clock
}

// isOnTrial reports whether the worker gets one task for each heartbeat interval only.
func (w *worker) isOnTrial() bool { return w.faults.inRow >= maxFaultsInRow }

// slots is how many slots the worker may use now.
func (w *worker) slots() int {
	switch {
	case !w.isOnTrial():
		return w.TotalSlots
	case w.faults.tried:
		return min(w.TotalSlots, w.held())
	}
	return min(w.TotalSlots, w.held()+1)
}

func (w *worker) isUnhealthy() bool { return w.confirmed && w.Health < healthFloor }

// health is 0 to 100: what is left of the machine (processor and memory 30 parts
// each, disk 20) and how often its downloads succeed (20). faults are failures that the
// worker does not count itself.
func health(m *model.HealthMetrics, faults int64) float64 {
	left := func(percent float64) float64 { return 1 - min(max(percent, 0), 100)/100 }
	success := 1.0
	if good, bad := m.SuccessCount, m.ErrorCount; good >= 0 && bad >= 0 && (good > 0 || bad > 0 || faults > 0) {
		success = float64(good) / (float64(good) + float64(bad) + float64(faults))
	}
	return 30*left(m.CPUUsage) + 30*left(m.MemoryUsage) + 20*left(m.DiskUsage) + 20*success
}

// canBeWorkers reports whether a failure may be that of the worker and is not counted by it. A
// server that answers shows that the worker reaches it; a full disk is part of the health anyway.
func canBeWorkers(why *model.TaskError) bool {
	const codeDiskFull = 9 // of aria2
	return why.Class != model.ClassPermanent && why.HTTPStatus == 0 && why.Code != codeDiskFull && !why.IsOfFiles()
}

// shouldTryElsewhere reports whether the next attempt of a task should be at another worker than
// the one that holds it: the failure may be that of the worker, the worker has no bytes of it, and
// there is another. So a worker without a working network costs each task one attempt, not all.
func (e *Engine) shouldTryElsewhere(t *task, why *model.TaskError) bool {
	return canBeWorkers(why) && t.run.progress.completed == 0 && e.index.CanServe(&t.Task, t.workerID())
}

// suspect notes that an attempt at the worker failed, if that may be its fault.
func (t *task) suspect(w *worker, why *model.TaskError) {
	if !canBeWorkers(why) && !why.IsOfFiles() {
		return
	}
	x := t.ensureExtra()
	known := slices.ContainsFunc(x.suspects, func(s suspicion) bool { return s.worker == w.ID })
	if len(x.suspects) < maxSuspects && !known {
		x.suspects = append(x.suspects, suspicion{w.ID, why.IsOfFiles(), w.successes, w.faults.proven})
	}
}

// noteSteady notes that a download makes progress at its worker, which does not fail every one then. One
// that has just begun says nothing: a broken disk may take some bytes.
func (e *Engine) noteSteady(t *task) {
	w := t.run.worker
	if !w.isOnTrial() && e.steady.Sub(t.run.assignedAt) >= e.cfg.HeartbeatInterval {
		w.successes++
		w.faults.inRow = 0
	}
}

// renewTrial lets a worker on trial have its next task. A worker whose list has several parts sends
// several heartbeats in an interval.
func (e *Engine) renewTrial(w *worker) {
	if e.alive.Sub(w.faults.triedAt) >= e.cfg.HeartbeatInterval/2 {
		w.faults.tried = false
	}
}

// blameSuspects puts the failures of a task down to the workers at which it failed, now that its
// holder has completed it.
func (e *Engine) blameSuspects(t *task) {
	site, by := t.Site(), t.run.worker
	by.successes++
	by.faults.inRow = 0 // the caller releases the task, and so the index learns it
	for _, s := range t.extraOrZero().suspects {
		if w := e.workers[s.worker]; w != nil && w != by && site != 0 {
			w.blame(s, site)
			e.markDirty(w)
		}
	}
}

// blame notes that a suspicion against the worker has been proven.
func (w *worker) blame(s suspicion, site uint64) {
	f := &w.faults
	if site != f.site && !s.isCounted {
		f.count++
	}
	if s.successes == w.successes && s.proven == f.proven {
		f.inRow++
	}
	f.site = site
	f.proven++
}
