package world

import (
	"fmt"

	"github.com/aria-cluster/dispatcher/internal/engine"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// endTrouble ends the time of trouble: everybody comes back, and what was
// acknowledged has to come to its end.
func (w *world) endTrouble() {
	w.say("the trouble is over")
	w.calm = w.now
	w.main.store.next = oneShots{}
	w.main.crashInAnswers = false
	w.main.busy = 0
	w.ahead = max(w.ahead, 0)
	w.main.check.ClockTurned(-1) // waits that were cut short stay so
	for _, k := range w.workers {
		k.garbled = false
		k.cut, k.ignores, k.greedy, k.full, k.part, k.cursor, k.state = cut{}, false, false, false, 0, "", model.StateReady
		k.exhausted, k.health.DiskFree = false, 1<<30
	}
	w.in(1, func() {
		if w.main.manual == nil {
			w.main.start()
		}
		for _, k := range w.workers {
			if !k.twin {
				k.start()
				w.clients[0].insist(engine.ResumeWorker{ID: k.name}, 10)
			}
		}
	})
	w.in(10_000, w.finishImports)
	w.in(30_000, w.look)
}

// look sees whether everything has ended, and says what has not when it should.
func (w *world) look() {
	for _, k := range w.workers {
		if w.main.check.IsDrained(k.name) {
			w.clients[0].insist(engine.ResumeWorker{ID: k.name}, 1)
		}
	}
	for _, k := range w.workers {
		if !k.twin {
			k.start() // one that has left in the last moment
		}
	}
	waits := w.unfinished()
	switch {
	case waits == "":
		w.lastWishes()
	case w.now-w.calm > maxCalm:
		w.violate("everything-ends", "after %d s of calm %s; %s", (w.now-w.calm)/1000, waits, w.main.reasons())
	default:
		w.in(10_000, w.look)
	}
}

// unfinished names something that has not ended and should.
func (w *world) unfinished() string {
	for _, c := range w.clients {
		if c.open > 0 {
			return c.name + " is not answered"
		}
	}
	if name := w.unfinishedImport(); name != "" {
		return name
	}
	if task := w.main.check.Unfinished(w.servable); task != "" {
		return task
	}
	for _, k := range w.workers {
		if k.up && len(k.held) > 0 {
			return k.name + " still holds " + k.held[0].task.ID
		}
	}
	return ""
}

// reasons is why tasks wait, in the dispatcher's words.
func (d *dispatcher) reasons() string {
	if answers, ok := d.manual.Query(engine.QueryStatus{}); ok {
		return fmt.Sprint(answers[0].Status.Waiting)
	}
	return "nothing is loaded"
}

// servable reports whether some worker can do the task at all.
func (w *world) servable(t *model.Task) bool {
	for _, k := range w.workers {
		if !k.twin && w.main.check.CanServe(&k.caps, t) {
			return true
		}
	}
	return false
}

// lastWishes cancels what nobody will ever do, so that the engine can come to rest.
func (w *world) lastWishes() {
	w.main.check.CheckAcknowledged()
	for _, id := range w.main.check.LiveTasks() {
		w.clients[0].insist(engine.Cancel{ID: id}, 3)
	}
	// A worker that lost its state is refused under its name until the instance before
	// is silent for the timeout, and only then hears what it has to erase.
	cfg := &w.plan.engine
	w.in(20_000+model.Time((2*cfg.HeartbeatInterval+cfg.HeartbeatTimeout).Std().Milliseconds()), w.finish)
}

// finish is the end: all is done, everybody agrees on it, and nothing is left over.
func (w *world) finish() {
	w.ended = true
	check := w.main.check
	check.CheckAcknowledged()
	check.CheckAllEnded()
	for _, k := range w.workers {
		if k.up && len(k.held) > 0 {
			check.CheckHoldsNothing(k.name, k.held[0].task.ID, k.held[0].attempt)
		}
	}
	if b, err := w.main.store.save(); err != nil {
		w.violate("store-agrees", "%v", err)
	} else {
		check.CheckStore(b.tasks)
	}
	sizes, _ := w.main.manual.Sizes()
	check.CheckRest(sizes)
	w.say("the end")
}
