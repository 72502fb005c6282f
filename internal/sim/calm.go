package sim

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
	w.main.check.clockTurned(-1) // waits that were cut short stay so
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
		if row := w.main.check.workerRows[k.name]; row != nil && row.Drained {
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
	c := w.main.check
	for _, e := range c.order {
		switch {
		case e.row == nil || e.row.Status.Terminal() || e.row.Status == model.StatusPaused:
		case e.row.Status == model.StatusPending && !w.servable(e.row):
		default:
			return e.id + " is " + told(e.row)
		}
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
		if !k.twin && w.main.check.able(&known{beat: &model.Heartbeat{Capabilities: k.caps}}, t) {
			return true
		}
	}
	return false
}

// lastWishes cancels what nobody will ever do, so that the engine can come to rest.
func (w *world) lastWishes() {
	w.checkAcknowledged()
	for _, e := range w.main.check.order {
		if e.row == nil || e.row.Status.Terminal() {
			continue
		}
		w.clients[0].insist(engine.Cancel{ID: e.id}, 3)
	}
	// A worker that lost its state is refused under its name until the instance before
	// is silent for the timeout, and only then hears what it has to erase.
	cfg := &w.plan.engine
	w.in(20_000+ms(2*cfg.HeartbeatInterval+cfg.HeartbeatTimeout), w.finish)
}

// checkAcknowledged asks for every task that was acknowledged.
func (w *world) checkAcknowledged() {
	c := w.main.check
	for _, e := range c.order {
		if e.acked && e.row == nil {
			w.violate("nothing-lost", "%s was acknowledged and is not in the store", e.id)
		}
	}
}

// finish is the end: all is done, everybody agrees on it, and nothing is left over.
func (w *world) finish() {
	w.ended = true
	c := w.main.check
	w.checkAcknowledged()
	for _, e := range c.order {
		if e.row != nil && !e.row.Status.Terminal() {
			w.violate("everything-ends", "%s is %s at the end", e.id, e.row.Status)
		}
	}
	for _, k := range w.workers {
		if k.up && len(k.held) > 0 {
			w.violate("workers-agree", "%s holds %s#%d at the end", k.name, k.held[0].task.ID, k.held[0].attempt)
		}
	}
	w.checkRows()
	w.checkRest()
	w.say("the end")
}

// checkRows asks that the store has what it was given.
func (w *world) checkRows() {
	s := w.main.store
	b, err := s.save()
	if err != nil {
		w.violate("store-agrees", "%v", err)
		return
	}
	n := 0
	for _, e := range w.main.check.order {
		if e.row != nil {
			n++
		}
	}
	if len(b.tasks) != n {
		w.violate("store-agrees", "it has %d tasks, and was given %d", len(b.tasks), n)
	}
	for _, t := range b.tasks {
		if row := w.main.check.entry(t.ID).row; row == nil || !sameRow(t, row) {
			w.violate("store-agrees", "%s differs from what was written: %+v, %+v", t.ID, t, row)
		}
	}
}

// sameRow compares what can differ between two rows of a task.
func sameRow(a, b *model.Task) bool {
	x, y := a.TaskState, b.TaskState
	x.Error, x.Result, y.Error, y.Result = nil, nil, nil, nil
	return x == y && a.Seq == b.Seq && a.Client == b.Client && a.URL == b.URL && a.Priority == b.Priority
}

// checkRest asks that an engine which has nothing to do keeps nothing.
func (w *world) checkRest() {
	answers, ok := w.main.manual.Query(engine.QueryWorkers{WorkerQuery: model.WorkerQuery{Limit: 1000}}, engine.QueryStatus{})
	if !ok {
		w.violate("comes-to-rest", "the dispatcher is not loaded at the end")
		return
	}
	for _, k := range answers[0].Workers.Workers {
		if k.UsedSlots > 0 || len(k.CurrentTasks) > 0 {
			w.violate("comes-to-rest", "%s uses %d slots at the end, for %v", k.ID, k.UsedSlots, k.CurrentTasks)
		}
	}
	s, _ := w.main.manual.Sizes()
	if s.Shapes > s.Workers {
		w.violate("comes-to-rest", "%d shapes of %d workers", s.Shapes, s.Workers)
	}
	s.Workers, s.Shapes = 0, 0
	if s != (engine.Sizes{}) {
		w.violate("comes-to-rest", "the engine still holds %+v", s)
	}
	if waiting := answers[1].Status.Waiting; len(waiting) > 0 {
		w.violate("comes-to-rest", "something waits at the end: %v", waiting)
	}
}
