package engine

import (
	"hash/fnv"
	"io"
	"slices"
	"strconv"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// task is what the engine keeps of a task that has not ended. Everything else of
// it is in the store. There may be millions: every field counts.
type task struct {
	id, client  string
	seq         int64
	maxAttempts int32
	failures    int32
	losses      int32
	rejections  int32 // in a row, without a download between them
	inQueue     int32 // places in heaps
	inDue       int32
	inWatch     int32
	state       int8 // index of its status, see status
	priority    int8
	// reclaimable says that the last worker did not fail but fell silent: until
	// the task is given away, that worker may take it back.
	reclaimable bool
	attempt     int64 // the fencing token in the store
	named       int64 // the highest attempt that the store or any worker has named
	timeout     model.Duration
	notBefore   model.Time // the client's wish
	retryAt     model.Time // the end of a backoff, as in the store
	due         model.Time // when it may be placed: the later of the two, unless the clock was set back
	last        string     // the worker that held it last
	req         *requirement
	run         *run // set while a worker holds it

	// deadline is the end of the current attempt's timeout, on the alive clock;
	// 0 = none. It stays while a lost worker may take the attempt back.
	deadline model.Time
	checkAt  model.Time   // key in Engine.watch, on the alive clock
	avoids   *[]avoidance // workers that are passed over, the earliest to end first; mostly nil
}

func (t *task) status() model.Status { return model.Statuses[t.state] }

func (t *task) setStatus(s model.Status) { t.state = int8(s.Index()) }

// run is what an assigned task has besides. Its times are on the alive clock.
type run struct {
	worker   *worker
	listAt   model.Time // by when the worker must have listed it; 0 = it does list it
	resent   bool       // listAt has passed once and the assignment was sent again
	progress model.TaskState
	dirty    bool       // progress is newer than the store's
	told     model.Time // the last progress event, on the steady clock
}

// avoidance passes over a worker for one task.
type avoidance struct {
	worker string
	until  model.Time // on the alive clock
}

// maxAvoids bounds the workers that one task passes over at once.
const maxAvoids = 8

func (t *task) workerID() string {
	if t.run == nil {
		return ""
	}
	return t.run.worker.ID
}

// before is the order of placing: the higher priority, then the earlier.
func (t *task) before(u *task) bool {
	if t.priority != u.priority {
		return t.priority > u.priority
	}
	return t.seq < u.seq
}

// newTask makes the engine's record of a row, without its state.
func (e *Engine) newTask(row *model.Task) *task {
	t := &task{
		id:          row.ID,
		client:      row.Client,
		seq:         row.Seq,
		priority:    int8(row.Priority),
		maxAttempts: int32(row.MaxAttempts),
		timeout:     row.Timeout,
		notBefore:   row.NotBefore,
	}
	t.req = e.queue.enter(needsOf(&row.TaskSpec), nil)
	return t
}

// hold makes w the holder of t.
func (e *Engine) hold(w *worker, t *task) {
	t.run = &run{worker: w}
	t.reclaimable = false
	w.tasks[t.id] = t
	e.touch(w)
}

// release takes t from its holder, who may have to stop it yet: while it does,
// the slot stays taken.
func (e *Engine) release(t *task, stopping bool) *worker {
	w := t.run.worker
	delete(w.tasks, t.id)
	if stopping {
		e.stopping(w, t.id, t.attempt)
	}
	t.last, t.run = w.ID, nil
	e.watch.remove(t)
	e.touch(w)
	return w
}

// end lets go of a task that has become terminal.
func (e *Engine) end(t *task) {
	delete(e.held, t.id)
	e.unqueue(t)
	e.watch.remove(t)
	e.queue.leave(t.req)
	delete(e.tasks, t.id)
	e.turn.ended[t.id] = t
}

// enqueue puts a pending task where it can be placed, now or when it is due.
func (e *Engine) enqueue(t *task) {
	if e.held[t.id] != nil {
		return
	}
	if t.due = max(t.notBefore, t.retryAt); t.due > e.now {
		e.due.fix(t)
		return
	}
	e.queue.push(t)
}

func (e *Engine) unqueue(t *task) {
	e.due.remove(t)
	e.queue.remove(t)
}

// avoid passes over the worker for this pending task, which is in no queue, for
// twice the heartbeat interval. It returns false where that cannot be: past the
// bound of requirement sets.
func (e *Engine) avoid(t *task, worker string) bool {
	if len(e.queue.sets) >= 2*e.cfg.RequirementSets {
		return false
	}
	list := slices.DeleteFunc(t.avoided(), func(a avoidance) bool { return a.worker == worker })
	if len(list) == maxAvoids {
		list = slices.Delete(list, 0, 1)
	}
	e.setAvoids(t, append(list, avoidance{worker, e.alive.Add(2 * e.cfg.HeartbeatInterval)}))
	return true
}

// forgetAvoids lets a pending task that is in no queue go again to the workers
// whose time is over.
func (e *Engine) forgetAvoids(t *task) {
	if t.avoids != nil {
		e.setAvoids(t, slices.DeleteFunc(t.avoided(), func(a avoidance) bool { return a.until <= e.alive }))
	}
}

func (t *task) avoided() []avoidance {
	if t.avoids == nil {
		return nil
	}
	return *t.avoids
}

// setAvoids moves the task to the requirement set that leaves out whom it avoids,
// and has the first end of these watched.
func (e *Engine) setAvoids(t *task, list []avoidance) {
	names := make([]string, len(list))
	for i, a := range list {
		names[i] = a.worker
	}
	slices.Sort(names)
	if !slices.Equal(names, t.req.avoid) {
		old := t.req
		t.req = e.queue.enter(old.need, names)
		e.queue.leave(old)
	}
	if len(list) == 0 {
		t.avoids = nil
		e.watch.remove(t)
		return
	}
	t.avoids = &list
	t.checkAt = list[0].until
	e.watch.fix(t)
}

// requeue makes an assigned task pending again, not to be placed before the wait
// is over and, with elsewhere, not on the same worker for a while. why is the
// failure that led to it; without one the worker was lost, and may take the task
// back. The row has the same difference, so that a restart knows it too.
func (e *Engine) requeue(t *task, why *model.TaskError, wait model.Duration, elsewhere bool) {
	state := t.run.progress // as far as it came; the bytes are on that worker's disk
	state.DownloadSpeed = 0
	w := e.release(t, false)
	t.reclaimable = why == nil
	e.forgetAvoids(t)
	if elsewhere && !e.avoid(t, w.ID) {
		wait = max(wait, e.backoff(t, t.failures+t.rejections))
	}
	if wait > 0 {
		t.retryAt = e.now.Add(wait)
	}
	state.Status, state.WorkerID, state.LastWorkerID = model.StatusPending, "", w.ID
	state.Failures, state.Losses = int(t.failures), int(t.losses)
	state.RetryAt, state.Error = t.retryAt, why
	e.change(t, model.SetStatus|model.SetWorker|model.SetLastWorker|model.SetFailures|
		model.SetRetryAt|model.SetError|model.SetProgress, state)
	e.enqueue(t)
}

// backoff is the wait after the nth trouble of a task: exponential from RetryBase
// up to RetryDelay, of which a part between a half and all is taken by a hash of
// task and attempt, so that tasks which failed together do not come back together
// ("equal jitter").
func (e *Engine) backoff(t *task, n int32) model.Duration {
	wait := e.cfg.RetryBase
	for i := int32(1); i < n && wait < e.cfg.RetryDelay; i++ {
		wait *= 2
	}
	wait = min(wait, e.cfg.RetryDelay)
	h := fnv.New32a()
	_, _ = io.WriteString(h, t.id+"/"+strconv.FormatInt(t.attempt, 10)) // a hash never fails to write
	const steps = 1024
	return wait/2 + wait/2*model.Duration(h.Sum32()%steps)/(steps-1)
}
