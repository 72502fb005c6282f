package oracle

import (
	"time"

	"github.com/aria-cluster/dispatcher/internal/dispatch"
	"github.com/aria-cluster/dispatcher/internal/engine"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// World is what an oracle needs of the world round its dispatcher.
type World interface {
	Now() model.Time  // steady, since the beginning
	Wall() model.Time // the wall clock
	Turns() int       // of all dispatchers so far
	Failed() bool     // an invariant did not hold before
	Say(format string, args ...any)
	Violate(invariant, format string, args ...any)
	CountEvent(kind string) // one of EventKinds
	ImportCommitFailed()
	ReloadedInImport()
}

// Dispatcher is what an oracle asks the dispatcher itself.
type Dispatcher interface {
	StartedAt() model.Time // zero of its steady clock
	Connected() bool       // as it knows
	Query(events ...engine.Event) ([]dispatch.Answer, bool)
}

// Message is one that a dispatcher has taken in.
type Message struct {
	Ops        []engine.Event
	FromWorker bool // else of a client
	Answers    []dispatch.Answer
}

// Oracle is what can be known of one dispatcher from outside: what was said to
// it, what it said, and what its store was given. Each turn is looked at when it is
// over.
type Oracle struct {
	world      World
	dispatcher Dispatcher
	name       string
	cfg        *engine.Config
	retention  dispatch.Retention

	tasks     map[string]*taskHistory
	taskOrder []*taskHistory // as they came
	counts    model.Counts

	workerRows  map[string]*model.Worker // in the store
	workers     map[string]*workerHistory
	workerOrder []string // of the workers, as they came

	undecided []*Message // taken in, not yet decided
	turn      turn
	imports   imports

	isLoaded        bool
	tickedAt        model.Time // on its steady clock
	dueWall         model.Time // the wall clock at the last tick that was decided: what was due then is in its queue
	lastTurnAt      model.Time
	loadedAt        model.Time
	timeoutsResetAt model.Time // when every worker had a fresh timeout
	disturbedAt     model.Time // the last trouble of any kind
	clockSetBackAt  model.Time // the wall clock was set back
	clockChangedAt  model.Time // or forward
	wasConnected    bool       // connected at the last turn
	connectedAt     model.Time // the last turn in which it was
}

// workerHistory is what a dispatcher was told by and about one worker.
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
	removals   int // that operators have asked for
	resumes    int // likewise
	undrains   int // that were done
}

// stopping is an attempt that a worker was told to stop, and that holds a slot
// until it has; if that is not certain, it may.
type stopping struct {
	attempt int64
	certain bool
}

// New returns the checks of the dispatcher of a name.
func New(w World, d Dispatcher, name string, cfg *engine.Config, keep dispatch.Retention) *Oracle {
	return &Oracle{
		world: w, dispatcher: d, name: name, cfg: cfg, retention: keep,
		tasks: make(map[string]*taskHistory), counts: make(model.Counts), workers: make(map[string]*workerHistory),
		workerRows: make(map[string]*model.Worker),
	}
}

func (c *Oracle) violate(invariant, format string, args ...any) {
	c.world.Violate(invariant, c.name+": "+format, args...)
}

func millis(d model.Duration) model.Time { return model.Time(time.Duration(d).Milliseconds()) }

func (c *Oracle) heartbeatTimeout() model.Time { return millis(c.cfg.HeartbeatTimeout) }

// listingGrace is how long a living worker may not list what it was given.
func (c *Oracle) listingGrace() model.Time { return 2*millis(c.cfg.HeartbeatInterval) + 5000 }

func (c *Oracle) task(id string) *taskHistory {
	e := c.tasks[id]
	if e == nil {
		e = &taskHistory{id: id}
		c.tasks[id] = e
		c.taskOrder = append(c.taskOrder, e)
	}
	return e
}

func (c *Oracle) worker(name string) *workerHistory {
	k := c.workers[name]
	if k == nil {
		k = &workerHistory{name: name, stopping: make(map[string]stopping), heardAt: -1 << 40}
		c.workers[name] = k
		c.workerOrder = append(c.workerOrder, name)
	}
	return k
}

// What happens to the process.

// Started notes that the process starts.
func (c *Oracle) Started() {
	c.clearHolds()
	c.undecided, c.isLoaded, c.turn = nil, false, turn{}
	c.tickedAt, c.dueWall, c.lastTurnAt = 0, 0, c.world.Now()
	c.wasConnected = true // as a fresh engine believes
	c.disturbedAt = c.world.Now()
}

// Stopped notes that the process has ended.
func (c *Oracle) Stopped() { c.isLoaded, c.disturbedAt = false, c.world.Now() }

// Unloaded notes that a load of the engine begins.
func (c *Oracle) Unloaded() { c.isLoaded, c.disturbedAt = false, c.world.Now() }

// Loaded hears that an engine was built from the store. After a commit that failed
// it is the next turn's.
func (c *Oracle) Loaded() {
	c.isLoaded = true
	if c.turn.isActive && c.turn.hasCommit {
		c.turn.hasReload = true
		return
	}
	c.resetLiveState()
}

// resetLiveState forgets what a fresh engine cannot know.
func (c *Oracle) resetLiveState() {
	if c.imports.active {
		c.world.ReloadedInImport()
	}
	c.loadedAt, c.timeoutsResetAt, c.disturbedAt = c.world.Now(), c.world.Now(), c.world.Now()
	for _, name := range c.workerOrder {
		k := c.workers[name]
		k.registered, k.isLive = false, false
		clear(k.stopping)
	}
	for _, e := range c.taskOrder {
		e.maxSeenAttempt, e.avoided, e.listedAt, e.unsavedLength = 0, nil, c.world.Now(), 0
	}
}

// ClockTurned notes that the wall clock jumped.
func (c *Oracle) ClockTurned(by model.Time) {
	c.clockChangedAt = c.world.Now()
	if by < 0 {
		c.clockSetBackAt = c.world.Now()
	}
}

// Disturbed hears of trouble, after which more time is allowed.
func (c *Oracle) Disturbed() { c.disturbedAt = c.world.Now() }

// TriedCommit reports whether the turn had a commit, written or not.
func (c *Oracle) TriedCommit() bool { return c.turn.hasCommit }

// HasCommitted reports whether the turn's commit was written.
func (c *Oracle) HasCommitted() bool { return c.turn.commit != nil }

// What goes in.

// Received hears of a message that was taken in: from now on it may have its effect.
func (c *Oracle) Received(m *Message) {
	c.undecided = append(c.undecided, m)
	for _, op := range m.Ops {
		switch op := op.(type) {
		case engine.Submit:
			e := c.task(op.Spec.ID)
			e.requests[verbSubmit]++
			e.submissions = append(e.submissions, submission{op.Client, op.Hash})
		case engine.Heartbeat:
			k := c.worker(op.WorkerID)
			if op.State == model.StateLeaving {
				k.leavingAt = c.world.Now()
			}
			for i := range op.Tasks {
				c.task(op.Tasks[i].ID).record(op.WorkerID, &op.Tasks[i])
			}
		case engine.Report:
			c.task(op.ID).record(op.Worker, &op.Report)
		case engine.RemoveWorker:
			c.worker(op.ID).removals++
		case engine.ResumeWorker:
			c.worker(op.ID).resumes++
		default:
			c.recordVerb(op)
		}
	}
}

// Answered notes that a message was answered.
func (c *Oracle) Answered(m *Message) {
	for i := range m.Answers {
		if m.Answers[i].Err == nil && !isQuery(m.Ops[i]) {
			c.turn.outputs++
		}
	}
	c.turn.messages = append(c.turn.messages, m)
}

func isQuery(op engine.Event) bool {
	switch op.(type) {
	case engine.QueryTasks, engine.QueryWorkers, engine.QueryStatus:
		return true
	}
	return false
}

// What comes out.

// Assigned notes an assign command to a worker.
func (c *Oracle) Assigned(worker string, list []model.Assignment) {
	c.turn.outputs++
	for _, a := range list {
		c.turn.assigns = append(c.turn.assigns, sentAssignment{worker, a})
	}
}

// Dropped notes a drop command to a worker.
func (c *Oracle) Dropped(worker string, d model.Drop) {
	c.turn.outputs++
	c.turn.drops = append(c.turn.drops, sentDrop{worker, d})
}

// TaskEvent notes the event of a task.
func (c *Oracle) TaskEvent(ev *model.TaskEvent) {
	c.turn.outputs++
	c.turn.taskEvents = append(c.turn.taskEvents, *ev)
}

// WorkerEvent notes the event of a worker.
func (c *Oracle) WorkerEvent(ev *model.WorkerEvent) {
	c.turn.outputs++
	c.turn.workerEvents = append(c.turn.workerEvents, *ev)
}

// ProgressEvent notes a progress event.
func (c *Oracle) ProgressEvent(*model.ProgressEvent) { c.turn.outputs++ }

// CommitFailed hears of a commit that returned an error.
func (c *Oracle) CommitFailed() {
	c.turn.hasCommit, c.turn.hasFailed = true, true
	if c.turn.imported != nil || c.turn.releases != nil {
		c.world.ImportCommitFailed()
	}
	c.disturbedAt = c.world.Now()
}

// Committed hears of a commit that was written, whatever the dispatcher is told.
func (c *Oracle) Committed(b *model.Batch) {
	if c.turn.outputs > 0 {
		c.violate("answers-after-commit", "%d answers or messages have left before the commit of their turn", c.turn.outputs)
	}
	c.turn.hasCommit, c.turn.commit = true, b
	for _, wc := range b.Workers {
		c.checkUndrained(&wc)
		if c.workerRows[wc.ID] = wc.Put; wc.Put == nil {
			delete(c.workerRows, wc.ID)
		}
	}
	for i := range b.Tasks {
		tc := &b.Tasks[i]
		e := c.task(tc.ID)
		before := e.row
		if before == nil && tc.Put == nil {
			e.deleted = true // born and deleted at once
			continue
		}
		var after *model.Task
		if before != nil || tc.Put != nil {
			after = tc.Apply(before)
		}
		if before != nil {
			c.counts[before.Status]--
		}
		if after != nil {
			c.counts[after.Status]++
		}
		e.row = after
		c.turn.changes = append(c.turn.changes, change{e, before, after})
	}
}

// A turn.

// BeginTurn begins a turn.
func (c *Oracle) BeginTurn() {
	c.turn = turn{isActive: true, isConnected: c.dispatcher.Connected()}
	now := c.world.Now()
	steady := now - c.dispatcher.StartedAt()
	if c.turn.hasTick = steady-c.tickedAt >= 1000; c.turn.hasTick {
		c.tickedAt = steady
	}
	if !c.turn.hasTick && len(c.undecided) == 0 {
		return // the loop finds nothing to do
	}
	if now-c.lastTurnAt > 5000 || c.dispatcher.Connected() && !c.wasConnected {
		c.resetTimeouts()
		c.disturbedAt = now
	}
	if !c.dispatcher.Connected() {
		c.disturbedAt = now
	}
	c.lastTurnAt, c.wasConnected = now, c.dispatcher.Connected()
	if c.wasConnected {
		c.connectedAt = now
	}
}

// resetTimeouts gives every worker a fresh timeout. One whose time was over before may
// still be found to be lost.
func (c *Oracle) resetTimeouts() {
	for _, name := range c.workerOrder {
		k := c.workers[name]
		k.overdue = k.overdue || c.lastTurnAt-max(k.heardAt, c.timeoutsResetAt) >= c.heartbeatTimeout()
	}
	c.timeoutsResetAt = c.world.Now()
}

// EndTurn looks at a turn that is over. If the process did not survive it, what it had
// committed counts, and nothing else was.
func (c *Oracle) EndTurn(survived bool) {
	t := &c.turn
	c.sortMessages()
	if c.world.Failed() {
		return
	}
	for _, ch := range t.changes {
		c.checkHeldTask(&ch)
		c.checkChange(&ch)
	}
	if survived {
		c.replayTurn()
		if t.hasTick && !t.hasFailed && c.world.Now()-c.disturbedAt > 5500 { // else the tick may have been refused
			c.dueWall = c.world.Wall()
		}
		c.checkPlacing()
		c.checkLimits()
		c.checkOutputs()
	}
	for _, ch := range t.changes {
		ch.task.applyChange(c, &ch)
	}
	if t.hasReload {
		c.resetLiveState()
	}
	if c.hasRefusedHeartbeat() {
		c.resetTimeouts() // nobody is to blame for what the dispatcher would not hear
	}
	if survived {
		c.checkEngineState()
	}
	c.traceTurn()
	t.isActive = false
}
