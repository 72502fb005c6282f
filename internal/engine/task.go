package engine

import (
	"hash/fnv"
	"io"
	"math"
	"slices"
	"strconv"

	"github.com/aria-cluster/dispatcher/internal/engine/placement"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// task is what the engine keeps of a task that has not ended. Everything else of
// it is in the store. There may be millions: every field counts, and what most of
// them do not have is in extra.
type task struct {
	// What a heartbeat looks at comes first, in one cache line.
	run        *run  // set while a worker holds it
	attempt    int64 // the fencing token in the store
	extra      *extra
	rejections int16 // in a row, without a download between them
	state      int8  // index of its status, see status
	// reclaimable says that the last worker was lost and did not fail the task: until
	// the task is reassigned, that worker may take it back.
	reclaimable bool
	inWatch     int32 // place in Engine.watch
	placement.Task

	checkAt     model.Time // key in Engine.watch, on the alive clock
	maxAttempts int16
	failures    int16
	losses      int16
	onHold      bool // imported and not yet verified: it is not placed
}

// extra is what a task that was only submitted does not have.
type extra struct {
	maxSeen   int64 // the highest attempt that any worker has named, where the store has a lower one
	timeout   model.Duration
	notBefore model.Time // the client's wish
	retryAt   model.Time // the end of a backoff, as in the store
	// deadline is the end of the current attempt's timeout, on the alive clock;
	// 0 = none. It stays while a lost worker may take the attempt back.
	deadline    model.Time
	waits       int16          // attempts that ended with Retry-After and are no failures
	asked       bool           // the server asked for the wait until retryAt
	traceparent string         // of its submit
	lastWorker  string         // the worker that held it last
	bytes       int64          // of it are on that worker's disk
	length      int64          // of the whole, where it is known
	assignedAs  model.Priority // its priority when that worker got it; 0 = not known
	suspects    []suspicion    // workers at which it failed, perhaps by their fault
	boundTo     string         // the worker that alone may have it now, for its bytes are there
	until       model.Time     // on the alive clock: end of boundTo
	avoidances  []avoidance    // workers that are passed over, the earliest to end first
}

// zeroExtra is the extra of a task that has none. It is never written.
var zeroExtra = &extra{}

func (t *task) extraOrZero() *extra {
	if t.extra == nil {
		return zeroExtra
	}
	return t.extra
}

// ensureExtra returns the task's own extra, to write into.
func (t *task) ensureExtra() *extra {
	if t.extra == nil {
		t.extra = new(extra)
	}
	return t.extra
}

func (t *task) status() model.Status { return model.Statuses[t.state] }

func (t *task) setStatus(s model.Status) { t.state = int8(s.Index()) }

// maxSeenAttempt is the highest attempt that the store or any worker has named.
func (t *task) maxSeenAttempt() int64 { return max(t.attempt, t.extraOrZero().maxSeen) }

// run is what an assigned task has besides. Its times are on the alive clock.
type run struct {
	worker         *worker
	listBy         model.Time     // by when the worker must have listed it; 0 = it does list it
	lastHeartbeat  int64          // the last heartbeat that listed it, see worker.heartbeats
	progressSentAt model.Time     // the last progress event, on the steady clock
	assignedAt     model.Time     // on the steady clock; where the worker took it back, of that
	counted        int64          // bytes of progress that are counted, see countBytes
	isUnconfirmed  bool           // assigned, and not reported or listed since
	isResent       bool           // listBy has passed once and the assignment was sent again
	dirty          bool           // progress is newer than the store's
	hasUnsent      bool           // progress is newer than that of the last event
	takenBack      bool           // the worker has to drop it, and had not begun it, see startTakingBack
	claimed        bool           // that is counted, until the worker has begun it nevertheless
	forIdle        bool           // it is taken back for a worker with a free slot
	listedAs       model.Priority // its priority, where the worker lists it as queued; otherwise 0
	assignedAs     model.Priority // its priority when the worker got it; 0 = not known
	takenBackAt    model.Time
	isDoubtful     bool       // loaded as queued and not listed since, see doubtHolder
	omittedAt      model.Time // while it is: the first heartbeat that omitted it
	claim          placement.Claim
	progress       progress
}

// progress is how far an attempt is: of a [model.TaskState] what SetGID and
// SetProgress set. There is one for every download, and each heartbeat has news.
type progress struct {
	completed, total int64
	speed            int64
	percent          float64
	gid              string
}

func (p *progress) state() model.TaskState {
	return model.TaskState{GID: p.gid, Progress: p.percent, CompletedLength: p.completed, TotalLength: p.total, DownloadSpeed: p.speed}
}

// final is the state of an attempt that has ended: its speed is 0.
func (p *progress) final() model.TaskState {
	state := p.state()
	state.DownloadSpeed = 0
	return state
}

// avoidance passes over a worker for one task.
type avoidance struct {
	worker     string
	until      model.Time // on the alive clock
	isDoubtful bool       // the source may have been the cause
}

const (
	// maxAvoidances bounds the workers that one task passes over at once.
	maxAvoidances = 8
	// affinity is how long a task waits for the worker that has a part of its file.
	affinity = model.Duration(30_000_000_000)
)

// trace returns the traceparent of the task's submit.
func (t *task) trace() string { return t.extraOrZero().traceparent }

func (t *task) workerID() string {
	if t.run == nil {
		return ""
	}
	return t.run.worker.ID
}

// newTask makes the engine's record of a row, without its state.
func (e *Engine) newTask(row *model.Task) *task {
	t := &task{
		Task:        placement.Task{ID: row.ID, Seq: row.Seq, Created: row.CreatedAt},
		maxAttempts: clampCount(row.MaxAttempts),
	}
	if row.Timeout > 0 || row.NotBefore > 0 {
		x := t.ensureExtra()
		x.timeout, x.notBefore = row.Timeout, row.NotBefore
	}
	if row.Traceparent != "" {
		t.ensureExtra().traceparent = row.Traceparent
	}
	priority := row.Priority
	if !priority.Valid() {
		priority = model.PriorityNormal // the row was written by hand
	}
	e.index.Add(&t.Task, row.Client, &row.TaskSpec, priority)
	return t
}

// clampCount keeps a count within what a task has room for.
func clampCount(n int) int16 { return int16(min(max(n, 0), math.MaxInt16)) }

// hold makes w the holder of t.
func (e *Engine) hold(w *worker, t *task) {
	if x := t.extra; x != nil && x.boundTo != "" {
		x.boundTo, x.until = "", 0
		e.constrain(t)
	}
	t.run = &run{worker: w, assignedAt: e.steady, assignedAs: t.Priority()}
	e.place(t)
	x := t.extraOrZero()
	t.run.progress.total = x.length // an estimate, until the worker reports its free disk
	if x.lastWorker == w.ID {
		t.run.progress.completed = x.bytes
		if x.length > 0 {
			t.run.progress.percent = 100 * float64(x.bytes) / float64(max(x.length, x.bytes))
		}
	}
	t.run.counted = t.run.progress.completed
	t.reclaimable = false
	w.tasks[t.ID] = t
	e.index.EnterHost(t.Host())
	e.markDirty(w)
}

// release takes t from its holder. With stopping the holder still has to stop the
// attempt: until then its slot and the place at the host stay taken. The caller places
// the task.
func (e *Engine) release(t *task, stopping bool) *worker {
	w := t.run.worker
	e.index.EndTrial(&t.Task, false)
	e.leaveWorker(t)
	delete(w.tasks, t.ID)
	x := t.ensureExtra()
	x.lastWorker, x.bytes, x.length = w.ID, t.run.progress.completed, t.run.progress.total
	x.assignedAs = t.run.assignedAs
	if stopping {
		e.startDrop(w, t.ID, dropping{attempt: t.attempt, host: t.Host()})
	}
	e.index.LeaveHost(t.Host())
	e.setProgress(t, progress{})
	t.run = nil
	e.markDirty(w)
	return w
}

// removeTask removes a task that has become terminal, or that an import replaces.
func (e *Engine) removeTask(t *task) {
	e.takeOut(t)
	e.turn.ended[t.ID] = t
}

// takeOut removes a task from all that the engine knows of it.
func (e *Engine) takeOut(t *task) {
	countPending(t.Client, t.status(), -1) // of one that is replaced
	if t.onHold {
		t.onHold = false
		e.changeHold(t.ID, false)
	}
	e.watch.Remove(t)
	e.index.Remove(&t.Task)
	delete(e.tasks, t.ID)
}

// bindToPartial reserves a task for the worker on whose disk a part of it is.
func (e *Engine) bindToPartial(t *task) {
	x := t.extra
	x.boundTo, x.until = "", 0
	w := e.workers[x.lastWorker]
	if x.bytes == 0 || w == nil || !w.mayAccept() || !e.canTake(t, w) {
		return
	}
	x.boundTo, x.until = w.ID, e.alive.Add(affinity)
}

// canTake reports whether the worker has what the task needs, and is not avoided.
func (e *Engine) canTake(t *task, w *worker) bool {
	avoided := slices.ContainsFunc(t.extraOrZero().avoidances, func(a avoidance) bool { return a.worker == w.ID })
	return !avoided && e.index.IsMetBy(t.Requirements(), &w.Capabilities)
}

// addAvoidance passes over the worker for this pending task, which is in no queue, for
// twice the heartbeat interval: after its wait where it is not certain that the worker was the
// cause. It returns false where that cannot be: past the bound of requirement sets.
func (e *Engine) addAvoidance(t *task, worker string, why *model.TaskError, wait model.Duration) bool {
	if e.index.Sets() >= 2*e.cfg.RequirementSets {
		return false
	}
	x := t.ensureExtra()
	x.avoidances = slices.DeleteFunc(x.avoidances, func(a avoidance) bool { return a.worker == worker })
	if len(x.avoidances) == maxAvoidances {
		x.avoidances = slices.Delete(x.avoidances, 0, 1)
	}
	a := avoidance{worker: worker, until: e.alive.Add(2 * e.cfg.HeartbeatInterval)}
	if why != nil && why.Class == model.ClassRetryable {
		a.until, a.isDoubtful = a.until.Add(wait), true
	}
	x.avoidances = append(x.avoidances, a)
	return true
}

func (e *Engine) hasExpiredAvoidance(t *task) bool {
	return t.extra != nil && slices.ContainsFunc(t.extra.avoidances, func(a avoidance) bool { return a.until <= e.alive })
}

// removeExpiredAvoidances lets a task be assigned again to workers after their avoidance
// has expired.
func (e *Engine) removeExpiredAvoidances(t *task) {
	if t.extra != nil {
		t.extra.avoidances = slices.DeleteFunc(t.extra.avoidances, func(a avoidance) bool { return a.until <= e.alive })
	}
}

// requeue makes an assigned task pending again, not to be placed before the wait
// is over and, with elsewhere, not on the same worker for a while. why is the
// failure that led to it; without one the worker was lost, and may take the task
// back. The row has the same difference, so that a restart knows it too.
func (e *Engine) requeue(t *task, why *model.TaskError, wait model.Duration, elsewhere bool) {
	state := t.run.progress.final() // its progress; the bytes are on the disk of that worker
	w := e.release(t, false)
	t.reclaimable = why == nil
	if waits := t.extraOrZero().waits; why == nil && waits > 0 { // a restart must not forget them
		why = &model.TaskError{Class: model.ClassRetryable, Message: "the worker " + w.ID + " lost the task", Waits: int(waits)}
	}
	e.removeExpiredAvoidances(t)
	isRetryable := why != nil && why.Class == model.ClassRetryable // its wait is that of its failures
	if elsewhere && !e.addAvoidance(t, w.ID, why, wait) && !isRetryable {
		wait = max(wait, e.backoff(t, t.failures+t.rejections))
	}
	x := t.ensureExtra()
	if wait > 0 {
		x.retryAt = e.now.Add(wait)
	}
	state.Status, state.WorkerID, state.LastWorkerID = model.StatusPending, "", w.ID
	state.Failures, state.Losses = int(t.failures), int(t.losses)
	state.RetryAt, state.Error = x.retryAt, why
	e.changeState(t, model.SetStatus|model.SetWorker|model.SetLastWorker|model.SetFailures|
		model.SetRetryAt|model.SetError|model.SetProgress, state)
	e.place(t)
}

// backoff is the wait after the nth failure of a task: exponential from RetryBase
// up to RetryDelay. A hash of task and attempt selects a part between a half and all of
// it, so that tasks which failed together do not come back together
// ("equal jitter").
func (e *Engine) backoff(t *task, n int16) model.Duration {
	wait := e.cfg.RetryBase
	for i := int16(1); i < n && wait < e.cfg.RetryDelay; i++ {
		wait *= 2
	}
	wait = min(wait, e.cfg.RetryDelay)
	h := fnv.New32a()
	_, _ = io.WriteString(h, t.ID+"/"+strconv.FormatInt(t.attempt, 10)) // a hash never fails to write
	const steps = 1024
	return wait/2 + wait/2*model.Duration(h.Sum32()%steps)/(steps-1)
}
