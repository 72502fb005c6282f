package world

import (
	"fmt"

	"github.com/aria-cluster/dispatcher/internal/engine"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// beginSettling ends the fault phase: all workers return, and each acknowledged task
// must reach its end.
func (w *world) beginSettling() {
	w.trace("the fault phase is over")
	w.settlingSince = w.now
	w.primary.store.next = oneShots{}
	w.primary.crashInAnswers = false
	w.primary.busyUntil = 0
	w.wallOffset = max(w.wallOffset, 0)
	w.primary.oracle.ClockTurned(-1) // shortened waits stay shortened
	for _, k := range w.workers {
		k.hasUnreadable = false
		k.cutOff, k.ignoresAssignments, k.listsOthers, k.refusesAll, k.isBroken, k.listedAtOnce, k.cursor, k.state = cutOff{}, false, false, false, false, 0, "", model.StateReady
		k.isExhausted, k.health.DiskFree = false, 1<<30
	}
	w.planIn(1, func() {
		if w.primary.stepper == nil {
			w.primary.start()
		}
		for _, k := range w.workers {
			if !k.isTwin {
				k.start()
				w.clients[0].requestUntilAnswered(engine.ResumeWorker{ID: k.name}, 10)
			}
		}
	})
	w.planIn(10_000, w.finishImports)
	w.planIn(30_000, w.checkSettled)
}

// checkSettled checks whether everything has ended, and reports what has not in time.
func (w *world) checkSettled() {
	for _, k := range w.workers {
		if w.primary.oracle.IsDrained(k.name) {
			w.clients[0].requestUntilAnswered(engine.ResumeWorker{ID: k.name}, 1)
		}
	}
	for _, k := range w.workers {
		if !k.isTwin {
			k.start() // it may have left just before
		}
	}
	waits := w.unfinished()
	switch {
	case waits == "":
		w.finalChecks()
	case w.now-w.settlingSince > maxSettling:
		w.violate("everything-ends", "%d s after the faults %s; %s", (w.now-w.settlingSince)/1000, waits, w.primary.reasons())
	default:
		w.planIn(10_000, w.checkSettled)
	}
}

// unfinished names something that has not ended and should.
func (w *world) unfinished() string {
	for _, c := range w.clients {
		if c.openRequests > 0 {
			return c.name + " is not answered"
		}
	}
	if name := w.unfinishedImport(); name != "" {
		return name
	}
	if task := w.primary.oracle.Unfinished(w.servable); task != "" {
		return task
	}
	for _, k := range w.workers {
		if k.isUp && len(k.tasks) > 0 {
			return k.name + " still holds " + k.tasks[0].task.ID
		}
	}
	return ""
}

// reasons returns why tasks wait, as the dispatcher states it.
func (d *dispatcher) reasons() string {
	if answers, ok := d.stepper.Query(engine.QueryStatus{}); ok {
		return fmt.Sprint(answers[0].Status.Waiting)
	}
	return "nothing is loaded"
}

// servable reports whether some worker can do the task at all.
func (w *world) servable(t *model.Task) bool {
	for _, k := range w.workers {
		if !k.isTwin && w.primary.oracle.CanServe(&k.caps, t) {
			return true
		}
	}
	return false
}

// finalChecks cancels the tasks that no worker can do, so that the engine comes to rest.
func (w *world) finalChecks() {
	w.primary.oracle.CheckAcknowledged()
	for _, id := range w.primary.oracle.LiveTasks() {
		w.clients[0].requestUntilAnswered(engine.Cancel{ID: id}, 3)
	}
	// A worker that lost its state is refused under its name until the instance before
	// is silent for the timeout, and only then receives its drops.
	cfg := &w.plan.engine
	wait := 20_000 + model.Time((2*cfg.HeartbeatInterval + cfg.HeartbeatTimeout).Std().Milliseconds())
	if w.plan.asksToWait() { // a cool-down outlives its tasks
		wait = max(wait, 65_000+model.Time(cfg.RetryAfterMax.Std().Milliseconds()))
	}
	w.planIn(wait, w.finish)
}

// finish plays the end: all tasks have ended, all sides agree, and nothing is left.
func (w *world) finish() {
	w.finished = true
	check := w.primary.oracle
	check.CheckAcknowledged()
	check.CheckAllEnded()
	for _, k := range w.workers {
		if k.isUp && len(k.tasks) > 0 {
			check.CheckHoldsNothing(k.name, k.tasks[0].task.ID, k.tasks[0].attempt)
		}
	}
	if b, err := w.primary.store.backUp(); err != nil {
		w.violate("store-agrees", "%v", err)
	} else {
		check.CheckStore(b.tasks)
	}
	sizes, _ := w.primary.stepper.Sizes()
	check.CheckRest(sizes)
	w.trace("the end")
}
