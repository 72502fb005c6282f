package engine

import (
	"maps"
	"slices"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// worker is what the engine keeps of a worker: all of it, for there are few.
type worker struct {
	model.Worker // Status, UsedSlots and CurrentTasks are computed, see view
	seq          int64
	said         model.WorkerState // of itself
	known        bool              // has sent a heartbeat since the start
	lost         bool              // was not heard for the timeout, or left
	left         bool              // lost because it said so
	partial      bool              // its last heartbeat listed only a part

	tasks    map[string]*task
	dropping map[string]dropping // by task id: told to stop, and not yet known to have stopped

	shape     *shape
	silentAt  model.Time // on the alive clock: when its silence means something
	inFree    int32
	inSilent  int32
	touched   bool
	stored    *model.Worker      // the row as last written
	storedAt  model.Time         // on the alive clock
	announced model.WorkerStatus // in the last event
}

// dropping is an attempt that a worker was told to stop.
type dropping struct {
	attempt int64
	since   model.Time // on the alive clock
}

func (e *Engine) addWorker(id string) *worker {
	w := &worker{
		Worker:   model.Worker{ID: id, ConnectedAt: e.now},
		said:     model.StateReady,
		tasks:    make(map[string]*task),
		dropping: make(map[string]dropping),
	}
	e.workers[id] = w
	return w
}

// stopping notes that the worker has to stop an attempt; until it is known to have
// stopped it holds a slot. It is bounded, for a worker may list what it likes.
func (e *Engine) stopping(w *worker, id string, attempt int64) {
	if len(w.dropping) < w.TotalSlots+model.MaxBatch {
		w.dropping[id] = dropping{attempt, e.alive}
	}
	e.touch(w)
}

// used is the slots that the worker has no use of: a task that was told to stop
// holds its slot until it is known to have stopped.
func (w *worker) used() int { return len(w.tasks) + len(w.dropping) }

// accepts reports whether the worker takes new work when it has a slot.
func (w *worker) accepts() bool {
	return w.known && !w.lost && w.said == model.StateReady && w.TotalSlots > 0
}

func (w *worker) status() model.WorkerStatus {
	switch {
	case w.lost:
		return model.WorkerOffline
	case w.said == model.StateDraining:
		return model.WorkerDraining
	case w.said == model.StateError:
		return model.WorkerError
	case w.used() >= w.TotalSlots:
		return model.WorkerBusy
	}
	return model.WorkerOnline
}

// lessLoaded is the strategy least_loaded: the smaller part of its slots in use,
// then the better health, then the name, so that the choice is always the same.
func (w *worker) lessLoaded(o *worker) bool {
	a, b := w.used()*o.TotalSlots, o.used()*w.TotalSlots
	if a != b {
		return a < b
	}
	if w.Health != o.Health {
		return w.Health > o.Health
	}
	return w.ID < o.ID
}

// offer brings the worker to where its free slots can be taken, or takes it away
// from there.
func (e *Engine) offer(w *worker) {
	if w.shape == nil {
		return
	}
	if !w.accepts() || w.used() >= w.TotalSlots {
		w.shape.free.remove(w)
		return
	}
	isNew := w.inFree == 0
	w.shape.free.fix(w)
	if isNew {
		e.queue.freed(w.shape)
	}
}

// place puts the worker among those that can do the same.
func (e *Engine) place(w *worker) {
	e.displace(w)
	w.shape = e.queue.shapeOf(&w.Capabilities, shapeKey(&w.Capabilities))
	w.shape.workers++
	if w.accepts() {
		w.shape.accepting++
	}
	e.offer(w)
}

// displace takes the worker out again. It must be called before what accepts
// depends on is changed; place does it first.
func (e *Engine) displace(w *worker) {
	s := w.shape
	if s == nil {
		return
	}
	s.free.remove(w)
	s.workers--
	if w.accepts() {
		s.accepting--
	}
	if s.workers == 0 {
		e.queue.forget(s)
	}
	w.shape = nil
}

// heard gives the worker a fresh timeout.
func (e *Engine) heard(w *worker) {
	w.silentAt = e.alive.Add(e.cfg.HeartbeatTimeout)
	e.silent.fix(w)
}

// awaitRemoval sets when a lost worker is forgotten.
func (e *Engine) awaitRemoval(w *worker) {
	if e.cfg.OfflineThreshold <= 0 {
		e.silent.remove(w)
		return
	}
	w.silentAt = e.alive.Add(max(e.cfg.OfflineThreshold-e.cfg.HeartbeatTimeout, 0))
	e.silent.fix(w)
}

// touch has the worker's row and status looked at when the turn ends, and its
// place by load put right at once.
func (e *Engine) touch(w *worker) {
	e.offer(w)
	if !w.touched {
		w.touched = true
		e.turn.touched = append(e.turn.touched, w)
	}
}

// lose takes everything from a worker that fell silent or left. Its tasks wait
// again and are not to blame; until they are given away it may take them back.
func (e *Engine) lose(w *worker, silent bool) {
	e.displace(w)
	w.lost = true
	for _, t := range w.held() {
		if silent {
			t.losses++
		}
		if t.losses >= int32(e.cfg.MaxLosses) {
			e.finish(t, model.StatusFailed, &model.TaskError{
				Code: 1, Class: model.ClassPermanent,
				Message: "its workers were lost too often while they had it, the last one was " + w.ID,
			}, nil)
			continue
		}
		e.requeue(t, nil, 0, false)
	}
	clear(w.dropping)
	e.place(w)
	e.touch(w)
	e.awaitRemoval(w)
}

// removeWorker forgets a lost worker.
func (e *Engine) removeWorker(w *worker) {
	e.displace(w)
	e.silent.remove(w)
	delete(e.workers, w.ID)
	if w.stored != nil {
		e.turn.plan.Batch.Workers = append(e.turn.plan.Batch.Workers, model.WorkerChange{ID: w.ID})
	}
	e.turn.plan.Workers = append(e.turn.plan.Workers, model.WorkerEvent{ID: w.ID, Status: model.WorkerRemoved, At: e.now})
}

// writeWorkers tells the changes of status of the workers that the turn touched,
// and writes the rows that the store should know. Whether a worker is busy
// follows from its tasks and is not written: it would be a row a task.
func (e *Engine) writeWorkers() {
	for _, w := range e.turn.touched {
		w.touched = false
		if e.workers[w.ID] != w {
			continue // removed
		}
		status := w.status()
		if status != w.announced {
			w.announced = status
			e.turn.plan.Workers = append(e.turn.plan.Workers, model.WorkerEvent{ID: w.ID, Status: status, At: e.now})
		}
		if row := w.rowToStore(); e.worthWriting(w, row) {
			w.stored, w.storedAt = row, e.alive
			e.turn.plan.Batch.Workers = append(e.turn.plan.Batch.Workers, model.WorkerChange{ID: w.ID, Put: row})
		}
	}
}

func (w *worker) rowToStore() *model.Worker {
	row := w.Worker
	if row.Status = w.status(); row.Status == model.WorkerBusy {
		row.Status = model.WorkerOnline
	}
	row.UsedSlots, row.CurrentTasks = 0, nil
	row.ErrorHistory = slices.Clone(w.ErrorHistory)
	return &row
}

// worthWriting reports whether the row differs from the stored one in more than
// its figures, or is older than a heartbeat timeout.
func (e *Engine) worthWriting(w *worker, row *model.Worker) bool {
	old := w.stored
	return old == nil || old.Status != row.Status || old.Instance != row.Instance || old.Epoch != row.Epoch ||
		old.TotalSlots != row.TotalSlots || old.Hostname != row.Hostname || old.Address != row.Address ||
		old.Port != row.Port || len(old.ErrorHistory) != len(row.ErrorHistory) ||
		shapeKey(&old.Capabilities) != shapeKey(&row.Capabilities) ||
		e.alive-w.storedAt >= model.Time(0).Add(e.cfg.HeartbeatTimeout)
}

// held returns the worker's tasks in the order of their arrival.
func (w *worker) held() []*task {
	tasks := make([]*task, 0, len(w.tasks))
	for _, t := range w.tasks {
		tasks = append(tasks, t)
	}
	slices.SortFunc(tasks, func(a, b *task) int { return int(a.seq - b.seq) })
	return tasks
}

func (e *Engine) workersByName() []*worker {
	workers := make([]*worker, 0, len(e.workers))
	for _, id := range slices.Sorted(maps.Keys(e.workers)) {
		workers = append(workers, e.workers[id])
	}
	return workers
}
