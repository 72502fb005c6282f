package engine

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/aria-cluster/dispatcher/internal/engine/placement"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// worker is what the engine keeps of a worker: everything, because there are few.
type worker struct {
	model.Worker // Status, UsedSlots and CurrentTasks are computed, see public
	seq          int64
	state        model.WorkerState // that it reports
	stateReason  string            // why, where that is not ready
	confirmed    bool              // has sent a heartbeat since the start
	lost         bool              // sent no heartbeat for the timeout, or left
	left         bool              // lost because it deregistered
	partial      bool              // its last heartbeat listed only a part
	heartbeats   int64             // heartbeats that were applied since the start
	reportedAt   model.Time        // its last report since the start

	tasks    map[string]*task
	listed   []*task             // what its last heartbeat listed, in that order; some may have ended
	dropping map[string]dropping // by task id: attempts that it must stop and may still run
	// Of tasks: by priority, those that it lists as queued; those that are taken back; and of
	// these, those that it has not begun nevertheless; those that it may have dropped.
	queued                        [model.PriorityUrgent]int
	takingBack, claimed, doubtful int
	erasures                      []erasure // what it has to remove from its disk, without holding it

	place         placement.Worker
	silentAt      model.Time // on the alive clock: when its silence means something
	inSilent      int32
	isDirty       bool
	stored        *model.Worker      // the row as last written
	storedAt      model.Time         // on the alive clock
	announced     model.WorkerStatus // in the last event
	returnedTasks int                // tasks that it had when it was lost
	faults        faults
	successes     int64 // completed tasks and progress, since the dispatcher knows it; see faults
}

// dropping is an attempt that a worker must stop.
type dropping struct {
	attempt int64
	since   model.Time      // on the alive clock
	host    *placement.Host // where it still may be at
}

// erasure is a drop of what the worker no longer lists. Nothing shows that it was
// done, so the next few heartbeat answers repeat it.
type erasure struct {
	model.Drop
	times int // that it will still be sent
}

// maxErasures bounds what one worker is to erase at once; more is left on its disk
// until worker.keep_orphans.
const maxErasures = model.MaxBatch

func (e *Engine) addWorker(id string) *worker {
	w := &worker{
		Worker:   model.Worker{ID: id, ConnectedAt: e.now},
		state:    model.StateReady,
		tasks:    make(map[string]*task),
		dropping: make(map[string]dropping),
		place:    placement.Worker{ID: id},
	}
	e.index.AddWorker(&w.place)
	e.workers[id] = w
	return w
}

// startDrop notes that the worker has to stop an attempt; until it is known to have
// stopped it holds a slot, and a place at the host. It is bounded, for a worker may
// list what it likes.
func (e *Engine) startDrop(w *worker, id string, d dropping) {
	if len(w.dropping) < w.TotalSlots+model.MaxBatch {
		e.finishDrop(w, id)
		d.since = e.alive
		w.dropping[id] = d
		e.index.EnterHost(d.host)
	}
	e.markDirty(w)
}

// finishDrop frees the slot of an attempt that the worker had to stop.
func (e *Engine) finishDrop(w *worker, id string) {
	if d, ok := w.dropping[id]; ok {
		delete(w.dropping, id)
		e.index.LeaveHost(d.host)
		e.markDirty(w)
	}
}

// requestErase has a worker remove the bytes of an attempt that it does not hold. It
// is best effort: a worker that is away for long removes them by its own rules.
func (e *Engine) requestErase(worker string, d model.Drop) {
	w := e.workers[worker]
	if w == nil || len(w.erasures) >= maxErasures {
		return
	}
	w.erasures = append(w.erasures, erasure{d, 2})
	e.turn.plan.Drop = append(e.turn.plan.Drop, DropCommand{Worker: worker, Drop: d})
}

// used is the number of taken slots: a dropped task holds its slot until the worker has
// stopped it. What a worker holds beyond its slots takes none: it has not begun that, or
// is moving the files of a finished download.
func (w *worker) used() int { return min(w.held(), w.TotalSlots) }

func (w *worker) isDraining() bool { return w.state == model.StateDraining || w.Drained }

// accepts reports whether the worker takes new work when it has a slot.
func (w *worker) accepts() bool { return w.confirmed && w.mayAccept() }

// mayAccept is accepts, also for a worker without a heartbeat since the start.
func (w *worker) mayAccept() bool {
	return !w.lost && w.state == model.StateReady && !w.Drained && !w.isUnhealthy() && w.TotalSlots > 0
}

func (w *worker) status() model.WorkerStatus {
	switch {
	case w.lost:
		return model.WorkerOffline
	case w.isDraining():
		return model.WorkerDraining
	case w.state == model.StateError, w.isUnhealthy():
		return model.WorkerError
	case w.used() >= w.TotalSlots:
		return model.WorkerBusy
	}
	return model.WorkerOnline
}

// statusReason returns the reason why the worker takes nothing new, or less than it has free slots
// for; "" if it takes that or has no free slot.
func (w *worker) statusReason() string {
	switch {
	case w.left:
		return "it left"
	case w.lost:
		return "no heartbeat since " + w.LastHeartbeat.String()
	case w.Drained:
		return "drained by an operator"
	case w.state == model.StateDraining:
		return cmp.Or(w.stateReason, "drains by its own will")
	case w.state == model.StateError:
		return cmp.Or(w.stateReason, "reports an error")
	case w.isUnhealthy():
		return fmt.Sprintf("its health %.0f is under %d", w.Health, healthFloor)
	case !w.confirmed:
		return "no heartbeat since the start of the dispatcher"
	case w.TotalSlots == 0:
		return "it has no slots"
	case w.isOnTrial():
		return fmt.Sprintf("gets one task for each heartbeat interval until it completes one: "+
			"the last %d tasks that failed here were completed by other workers", w.faults.inRow)
	}
	return ""
}

// unbindTasks lets the tasks that wait for this worker go elsewhere.
func (e *Engine) unbindTasks(w *worker) {
	for p := e.index.FirstBound(w.ID); p != nil; p = e.index.FirstBound(w.ID) {
		t := e.tasks[p.ID]
		t.extra.until = e.alive
		e.endWait(t)
	}
}

// endWait puts a queued task where it belongs now that a time is over.
func (e *Engine) endWait(t *task) {
	e.removeExpiredAvoidances(t)
	if x := t.extra; x.until <= e.alive {
		x.boundTo, x.until = "", 0
	}
	e.place(t)
}

// resetTimeout gives the worker a fresh timeout.
func (e *Engine) resetTimeout(w *worker) {
	w.silentAt = e.alive.Add(e.cfg.HeartbeatTimeout)
	e.silent.Fix(w)
}

// scheduleRemoval sets when a lost worker is forgotten.
func (e *Engine) scheduleRemoval(w *worker) {
	if e.cfg.OfflineThreshold <= 0 {
		e.silent.Remove(w)
		return
	}
	// At least the tick after it is said to be offline.
	w.silentAt = e.alive.Add(max(e.cfg.OfflineThreshold-e.cfg.HeartbeatTimeout, model.Seconds(1)))
	e.silent.Fix(w)
}

func (w *worker) load() placement.Load {
	l := placement.Load{Used: w.held(), Slots: w.slots(), Ahead: w.Prefetch, Health: w.Health}
	if w.isOnTrial() {
		l.Ahead = 0
	}
	if w.accepts() {
		l.Lowest = w.lowestQueued()
	}
	return l
}

// indexWorker puts the worker among those that can do the same, and tells the index whether
// it takes new work. It is called whenever one of these has changed.
func (e *Engine) indexWorker(w *worker) {
	e.index.SetOffer(&w.place, placement.Offer{
		Capabilities: &w.Capabilities, DiskFree: w.HealthMetrics.DiskFree, Accepting: w.accepts(),
	}, w.load())
	if !w.mayAccept() {
		e.unbindTasks(w)
	}
}

// markDirty has the worker's place in the index updated after the event, and its row
// and status looked at when the turn ends.
func (e *Engine) markDirty(w *worker) {
	e.index.SetLoad(&w.place, w.load())
	if !w.isDirty {
		w.isDirty = true
		e.turn.dirtyWorkers = append(e.turn.dirtyWorkers, w)
	}
}

// markLost takes everything from a worker that fell silent or left. Its tasks wait
// again and are not to blame; until they are given away it may take them back.
func (e *Engine) markLost(w *worker, silent bool) {
	w.lost, w.returnedTasks = true, len(w.tasks)
	if silent {
		e.addFact(Fact{Kind: FactWorkerLost, Worker: w.ID})
	}
	e.indexWorker(w)
	for _, t := range w.tasksBySeq() {
		e.endAttempt(t, model.OutcomeLost, nil)
		if silent {
			t.losses = clampCount(int(t.losses) + 1)
		}
		if int(t.losses) >= e.cfg.MaxLosses {
			e.endTask(t, model.StatusFailed, &model.TaskError{
				Code: 1, Class: model.ClassPermanent,
				Message: "its workers were lost too often while they had it, the last one was " + w.ID,
			}, nil)
			continue
		}
		e.requeue(t, nil, 0, false)
	}
	for id := range w.dropping { // in any order: each is removed alone
		e.finishDrop(w, id)
	}
	w.erasures, w.listed = nil, nil
	e.markDirty(w)
	e.scheduleRemoval(w)
}

// removeWorker forgets a lost worker.
func (e *Engine) removeWorker(w *worker) {
	e.index.RemoveWorker(&w.place)
	e.silent.Remove(w)
	delete(e.workers, w.ID)
	if w.stored != nil {
		e.turn.plan.Batch.Workers = append(e.turn.plan.Batch.Workers, model.WorkerChange{ID: w.ID})
	}
	e.turn.plan.Workers = append(e.turn.plan.Workers, model.WorkerEvent{
		ID: w.ID, Status: model.WorkerRemoved, At: e.now, Before: w.announced,
	})
}

// writeWorkers tells the changes of status of the workers that the turn touched,
// and writes the rows that the store should know. Whether a worker is busy
// follows from its tasks and is not written: it would be a row a task.
func (e *Engine) writeWorkers() {
	for _, w := range e.turn.dirtyWorkers {
		w.isDirty = false
		if e.workers[w.ID] != w {
			continue // removed
		}
		status := w.status()
		if status != w.announced {
			ev := model.WorkerEvent{ID: w.ID, Status: status, At: e.now, Before: w.announced}
			if status == model.WorkerOffline {
				ev.Tasks, ev.Left = w.returnedTasks, w.left
			}
			w.announced = status
			e.turn.plan.Workers = append(e.turn.plan.Workers, ev)
		}
		if e.worthWriting(w) {
			row := w.rowToStore()
			w.stored, w.storedAt = row, e.alive
			e.turn.plan.Batch.Workers = append(e.turn.plan.Batch.Workers, model.WorkerChange{ID: w.ID, Put: row})
		}
	}
}

// statusToStore is the status that the row has: whether a worker is busy follows
// from its tasks.
func (w *worker) statusToStore() model.WorkerStatus {
	if s := w.status(); s != model.WorkerBusy {
		return s
	}
	return model.WorkerOnline
}

func (w *worker) rowToStore() *model.Worker {
	row := w.Worker
	row.Status = w.statusToStore()
	row.UsedSlots, row.Prefetch, row.CurrentTasks, row.Dir = 0, 0, nil, ""
	row.ErrorHistory = slices.Clone(w.ErrorHistory)
	return &row
}

// worthWriting reports whether the worker differs from its stored row in more than
// its figures, or that is older than a heartbeat timeout.
func (e *Engine) worthWriting(w *worker) bool {
	old := w.stored
	return old == nil || old.Status != w.statusToStore() || old.Instance != w.Instance || old.Epoch != w.Epoch ||
		old.TotalSlots != w.TotalSlots || old.Hostname != w.Hostname || old.Address != w.Address ||
		old.Port != w.Port || old.Version != w.Version || old.Drained != w.Drained || len(old.ErrorHistory) != len(w.ErrorHistory) ||
		!sameCapabilities(&old.Capabilities, &w.Capabilities) ||
		e.alive-w.storedAt >= model.Time(0).Add(e.cfg.HeartbeatTimeout)
}

// tasksBySeq returns the worker's tasks in the order of their arrival.
func (w *worker) tasksBySeq() []*task {
	tasks := make([]*task, 0, len(w.tasks))
	for _, t := range w.tasks {
		tasks = append(tasks, t)
	}
	slices.SortFunc(tasks, func(a, b *task) int { return int(a.Seq - b.Seq) })
	return tasks
}

func (e *Engine) workersByName() []*worker {
	workers := make([]*worker, 0, len(e.workers))
	for p := range e.index.WorkersAfter("") {
		workers = append(workers, e.workers[p.ID])
	}
	return workers
}

// sameCapabilities reports whether the difference concerns no task.
func sameCapabilities(a, b *model.Capabilities) bool {
	return a.SupportsBT == b.SupportsBT && a.SupportsMetalink == b.SupportsMetalink &&
		maps.Equal(a.Tags, b.Tags) && slices.Equal(a.Folders, b.Folders) && slices.Equal(a.Protocols, b.Protocols)
}
