package engine

import (
	"github.com/aria-cluster/dispatcher/internal/engine/heap"
	"github.com/aria-cluster/dispatcher/internal/engine/placement"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// Config is what the rules depend on. A duration is positive where nothing is said of 0.
type Config struct {
	MaxAttempts       int                // failures after which a task is failed, where its spec names none
	MaxLosses         int                // lost workers after which a task is failed
	RetryBase         model.Duration     // first backoff
	RetryDelay        model.Duration     // longest backoff
	RetryAfterMax     model.Duration     // longest wait that a server may ask for; 0 = none is honored
	RetryAfterFree    int                // attempts of a task that end with such a wait and are no failures
	HeartbeatInterval model.Duration     // sent to the workers
	HeartbeatTimeout  model.Duration     // silence after which a worker is lost
	OfflineThreshold  model.Duration     // silence after which a lost worker is removed; 0 = never
	MaxPending        int64              // pending and paused tasks, then submits are refused
	ClientPending     int64              // the same of one client; 0 = no limit
	MaxWorkers        int                // known workers, then a new one is refused; 0 = no limit
	RequirementSets   int                // different sets of requirements, then submits are refused
	Strategy          placement.Strategy // "" is [placement.StrategyLeastLoaded]
	Ageing            model.Duration     // a wait that counts as one priority more; 0 = priorities are strict
	PerHost           int                // tasks at once against one host; 0 = no limit
	Hosts             map[string]int     // the same for single hosts, by [model.NormalizeHost]; they go before PerHost
	RetainIDs         model.Duration     // how long the id of a deleted task stays taken; 0 = it does not
}

const (
	// maxGap is the longest silence between two turns that counts as time in
	// which heartbeats could arrive. The caller ticks each second; a longer gap
	// is a stopped process or a clock that jumped.
	maxGap = model.Time(5_000)
	// maxPlacements bounds one turn; the caller turns again at once for the rest. It
	// bounds the memory of a turn too: a task may have 512 KiB of torrent.
	maxPlacements = 512
	// maxReportedAttempt bounds the attempts that the report of a worker can skip. It is above
	// those of reused ids, and far from [model.MaxAttemptNumber], the highest that can be reported.
	maxReportedAttempt = 1 << 49
	// progressRate is how many rows a second may be written only because
	// downloads made progress.
	progressRate = 500
)

// Engine is the state that deciding needs. See the package comment for how to
// call it.
type Engine struct {
	cfg Config

	now       model.Time // time of the turn on the wall clock, which may be set back
	steady    model.Time // time of the turn on the steady clock, which never goes back
	alive     model.Time // a clock that runs only while heartbeats can arrive; worker and attempt deadlines are on it
	connected bool
	graceEnds model.Time // on the alive clock: until then no report is answered with unknown

	tasks   map[string]*task // every task that has not ended
	workers map[string]*worker
	seq     int64        // the last Seq given
	counts  model.Counts // all tasks, ended ones too

	index  *placement.Index   // pending tasks, and the workers that may take them
	watch  heap.Heap[*task]   // assigned tasks by the next thing to check
	silent heap.Heap[*worker] // workers by the time at which their silence has a consequence

	movingToIdle int // tasks that are taken back for workers with a free slot
	listedQueued int // tasks that their workers list as queued and that may be taken back

	importing  bool
	held       []*task             // that an import holds back, in the order of the import; some may have ended
	heldLimit  int                 // length at which these are removed from held
	releases   []release           // imports that have ended, the first one first
	heldIDs    map[string]struct{} // tasks that LoadTask holds back, see LoadHold
	unloadable map[string]unloadableTask

	facts   []Fact             // of the turn; the array is used again
	changes []model.TaskChange // of the last turn; so is this one
	speed   int64              // of all downloads, in bytes a second

	dirtyProgress []*task    // assigned tasks whose progress the store does not have
	flushedAt     model.Time // on the steady clock: the last time that it was written
	turn          turn
}

// Totals is what the store knows besides its rows.
type Totals struct {
	Counts  model.Counts
	LastSeq int64
}

// Clock is the time of a turn: Wall, in UTC, is what people and stores see; Steady starts
// anywhere, never goes back, and measures durations.
type Clock struct {
	Wall   model.Time
	Steady model.Time
}

// New returns an engine at the time now that holds nothing yet.
func New(cfg Config, now Clock, totals Totals) *Engine {
	e := &Engine{
		cfg:       cfg,
		now:       now.Wall,
		steady:    now.Steady,
		connected: true,
		graceEnds: model.Time(0).Add(cfg.HeartbeatTimeout),
		tasks:     make(map[string]*task, countLive(totals.Counts)),
		workers:   make(map[string]*worker),
		seq:       totals.LastSeq,
		counts:    make(model.Counts),
		flushedAt: now.Steady,
	}
	for _, s := range model.Statuses {
		e.counts[s] = totals.Counts[s]
	}
	e.index = placement.New(placement.Config{
		Strategy: cfg.Strategy, Ageing: cfg.Ageing, PerHost: cfg.PerHost, Hosts: cfg.Hosts,
		IsOffline: func(id string) bool { return e.workers[id].lost },
		Describe:  func(id string) string { return e.workers[id].unavailableReason() },
	})
	e.watch = heap.Heap[*task]{
		Less:  func(a, b *task) bool { return a.checkAt < b.checkAt || a.checkAt == b.checkAt && a.Seq < b.Seq },
		Place: func(t *task) *int32 { return &t.inWatch },
	}
	e.silent = heap.Heap[*worker]{
		Less:  func(a, b *worker) bool { return a.silentAt < b.silentAt || a.silentAt == b.silentAt && a.ID < b.ID },
		Place: func(w *worker) *int32 { return &w.inSilent },
	}
	return e
}

// countLive is how many of the tasks have not ended.
func countLive(counts model.Counts) int64 {
	n := int64(0)
	for _, s := range model.Statuses {
		if !s.Terminal() {
			n += counts[s]
		}
	}
	return n
}

// LoadWorker takes over a worker from the store. It is given a fresh timeout, keeps
// what it holds, and gets nothing new before its first heartbeat: its real state is not known until
// then.
func (e *Engine) LoadWorker(row *model.Worker) {
	w := e.workers[row.ID]
	if w == nil { // otherwise a task has named it, or it was lost and an import has its row
		w = e.addWorker(row.ID)
	}
	w.state, w.confirmed, w.lost, w.left, w.partial = model.StateReady, false, false, false, false
	kept := *row
	kept.CurrentTasks, kept.StatusReason = nil, ""
	kept.RepairFigures() // an infinity has no JSON
	w.Worker = kept
	w.stored, w.storedAt = &kept, e.alive
	switch row.Status {
	case model.WorkerDraining:
		w.state = model.StateDraining
	case model.WorkerError:
		w.state = model.StateError
	case model.WorkerOffline:
		w.lost = true
	}
	w.announced = row.Status
	e.indexWorker(w)
	e.resetTimeout(w)
	if w.lost {
		e.scheduleRemoval(w)
	}
}

// LoadTask takes over a task that has not ended. One whose worker is not there
// gets a worker of that name that has sent no heartbeat yet.
func (e *Engine) LoadTask(row *model.Task) {
	_, held := e.heldIDs[row.ID]
	_ = e.load(row, held)
}

// load takes over a task; held, it is not placed before the import ends.
func (e *Engine) load(row *model.Task, held bool) *task {
	t := e.newTask(row)
	t.onHold = held
	t.setStatus(row.Status)
	countPending(t.Client, row.Status, 1)
	t.attempt = row.Attempt
	t.failures, t.losses = clampCount(row.Failures), clampCount(row.Losses)
	t.reclaimable = row.Status == model.StatusPending && row.AssignedAt > 0 && !row.Error.IsFailure() // see requeue
	if row.RetryAt > 0 || row.LastWorkerID != "" || row.TotalLength > 0 {
		x := t.ensureExtra()
		x.retryAt, x.lastWorker = row.RetryAt, row.LastWorkerID
		x.bytes, x.length = row.CompletedLength, row.TotalLength
	}
	e.tasks[t.ID] = t
	if held {
		e.holdBack(t)
	}
	if row.Seq > e.seq {
		e.seq = row.Seq
	}
	if row.Timeout > 0 && row.Attempt > 0 { // the worker gets the time for one heartbeat first
		left := row.Timeout - min(row.Timeout, max(e.now.Sub(row.AssignedAt), 0))
		t.ensureExtra().deadline = e.alive.Add(max(left, e.cfg.HeartbeatTimeout))
	}
	if row.Error != nil {
		e.loadRetryAfter(t, row)
	}
	switch {
	case t.status().Active():
		w := e.workers[row.WorkerID]
		if w == nil {
			w = e.addWorker(row.WorkerID)
			e.indexWorker(w)
			e.resetTimeout(w)
		}
		e.hold(w, t)
		e.setProgress(t, progress{gid: row.GID, percent: row.Progress, completed: row.CompletedLength, total: row.TotalLength, speed: row.DownloadSpeed})
		t.run.counted = row.CompletedLength
		t.run.assignedAt = e.steady.Add(-max(e.now.Sub(row.AssignedAt), 0))
		t.run.assignedAs = 0
		e.requireListing(t)
		if t.status() == model.StatusQueued && row.Timeout == 0 {
			e.doubtHolder(t)
		}
	default:
		e.place(t)
	}
	return t
}

// UnconfirmedWorkers returns the names of the workers that were loaded as online and have sent no
// heartbeat since.
func (e *Engine) UnconfirmedWorkers() []string {
	var names []string
	for _, w := range e.workersByName() {
		if !w.confirmed && !w.lost {
			names = append(names, w.ID)
		}
	}
	return names
}

// Lookup is the answer of the store to [Engine.Needs].
type Lookup struct {
	Tasks      map[string]*model.Task     // those that exist
	Tombstones map[string]model.Tombstone // of deleted tasks, among those that do not exist
}

// Begin starts a turn. connected says whether heartbeats could arrive since the
// last turn.
func (e *Engine) Begin(now Clock, connected bool, known Lookup) {
	gap := max(now.Steady-e.steady, 0)
	var ask []string
	if connected && e.connected {
		e.alive += min(gap, maxGap)
	}
	if connected && (!e.connected || gap > maxGap) {
		for _, w := range e.workersByName() { // no heartbeat could arrive, so no worker is at fault
			if !w.lost {
				e.resetTimeout(w)
				ask = append(ask, w.ID)
			}
		}
	}
	if now.Wall < e.now {
		e.index.SetBack()
	}
	e.now, e.steady, e.connected = now.Wall, e.steady+gap, connected
	e.turn = turn{
		lookup: known, changed: make(map[string]int), ended: make(map[string]*task),
		dirtyWorkers: e.turn.dirtyWorkers, // by loading
	}
	e.turn.plan.Ask = ask
	e.facts, e.turn.plan.Batch.Tasks = reuse(e.facts), reuse(e.changes)
}

// reuse empties a list of the last turn for the next one, unless it became long once.
func reuse[T any](list []T) []T {
	const most = 4096
	if cap(list) > most {
		return nil
	}
	clear(list) // for the garbage collector
	return list[:0]
}

// maxReschedules bounds the deferred tasks that one turn looks at after the clock was set back.
const maxReschedules = 4096

// capBackoffs shortens backoffs after the wall clock was set back, some in each turn: a backoff
// never takes longer than the longest one. It reports whether there are more.
func (e *Engine) capBackoffs() (more bool) {
	return e.index.Reschedule(maxReschedules, func(p *placement.Task) (model.Time, bool) {
		x := e.tasks[p.ID].extraOrZero()
		due := max(x.notBefore, min(x.retryAt, e.latestRetry(e.tasks[p.ID])))
		return due, x.notBefore >= due
	})
}

// Needs appends the ids of the tasks that have to be read from the store before the
// event can be decided.
func (e *Engine) Needs(ev Event, ids []string) []string { return ev.reads(e, ids) }

// Step decides on one event and returns its answer, which must not leave before
// the turn's commit.
func (e *Engine) Step(ev Event) Answer {
	answer := ev.decide(e)
	e.index.UpdateHeaps()
	return answer
}

// Plan ends the turn: it places what can be placed and returns all that the turn
// decided. The Plan's slices are the caller's, except for Facts and the tasks of Batch,
// which are valid until the next Begin.
func (e *Engine) Plan() Plan {
	more := e.capBackoffs()
	more = e.continueReleases() || e.placePending() || more
	e.writeWorkers()
	e.writeHistories()
	plan := e.turn.plan
	plan.More, plan.Facts = more, e.facts
	e.changes = plan.Batch.Tasks
	e.turn = turn{}
	return plan
}
