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
	w    World
	d    Dispatcher
	name string
	cfg  *engine.Config
	keep dispatch.Retention

	ledger map[string]*entry
	order  []*entry // as they came
	counts model.Counts

	workerRows map[string]*model.Worker // in the store
	workers    map[string]*known
	names      []string // of the workers, as they came

	waiting []*Message // taken in, not yet decided
	turn    turn
	imports imports

	isLoaded  bool
	ticked    model.Time // on its steady clock
	dueWall   model.Time // the wall clock at the last tick that was decided: what was due then is in its queue
	lastTurn  model.Time
	loadedAt  model.Time
	freshAt   model.Time // when every worker had a fresh timeout
	shakenAt  model.Time // the last trouble of any kind
	setBackAt model.Time // the wall clock was set back
	turnedAt  model.Time // or forward
	wasOn     bool       // connected at the last turn
	onAt      model.Time // the last turn in which it was
}

// known is what a dispatcher was told by and about one worker.
type known struct {
	name     string
	beat     *model.Heartbeat // the last one that it took
	heard    model.Time
	spoken   bool // has been heard since the last load
	present  bool // and is neither lost nor gone
	left     bool
	overdue  bool // its silence had lasted long enough when it was excused
	leftAt   model.Time
	stopping map[string]stopping
	removals int // that operators have asked for
	resumes  int // likewise
	undrains int // that were done
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
		w: w, d: d, name: name, cfg: cfg, keep: keep,
		ledger: make(map[string]*entry), counts: make(model.Counts), workers: make(map[string]*known),
		workerRows: make(map[string]*model.Worker),
	}
}

func (c *Oracle) violate(invariant, format string, args ...any) {
	c.w.Violate(invariant, c.name+": "+format, args...)
}

func ms(d model.Duration) model.Time { return model.Time(time.Duration(d).Milliseconds()) }

func (c *Oracle) timeout() model.Time { return ms(c.cfg.HeartbeatTimeout) }

// grace is how long a living worker may not list what it was given.
func (c *Oracle) grace() model.Time { return 2*ms(c.cfg.HeartbeatInterval) + 5000 }

func (c *Oracle) entry(id string) *entry {
	e := c.ledger[id]
	if e == nil {
		e = &entry{id: id}
		c.ledger[id] = e
		c.order = append(c.order, e)
	}
	return e
}

func (c *Oracle) worker(name string) *known {
	k := c.workers[name]
	if k == nil {
		k = &known{name: name, stopping: make(map[string]stopping), heard: -1 << 40}
		c.workers[name] = k
		c.names = append(c.names, name)
	}
	return k
}

// What happens to the process.

// Started notes that the process starts.
func (c *Oracle) Started() {
	c.forgetHolds()
	c.waiting, c.isLoaded, c.turn = nil, false, turn{}
	c.ticked, c.dueWall, c.lastTurn = 0, 0, c.w.Now()
	c.wasOn = true // as a fresh engine believes
	c.shakenAt = c.w.Now()
}

// Stopped notes that the process has ended.
func (c *Oracle) Stopped() { c.isLoaded, c.shakenAt = false, c.w.Now() }

// Unloaded notes that a load of the engine begins.
func (c *Oracle) Unloaded() { c.isLoaded, c.shakenAt = false, c.w.Now() }

// Loaded hears that an engine was built from the store. After a commit that failed
// it is the next turn's.
func (c *Oracle) Loaded() {
	c.isLoaded = true
	if c.turn.active && c.turn.tried {
		c.turn.reload = true
		return
	}
	c.forgetLive()
}

// forgetLive forgets what a fresh engine cannot know.
func (c *Oracle) forgetLive() {
	if c.imports.active {
		c.w.ReloadedInImport()
	}
	c.loadedAt, c.freshAt, c.shakenAt = c.w.Now(), c.w.Now(), c.w.Now()
	for _, name := range c.names {
		k := c.workers[name]
		k.spoken, k.present = false, false
		clear(k.stopping)
	}
	for _, e := range c.order {
		e.named, e.shunned, e.listedAt, e.owed = 0, nil, c.w.Now(), 0
	}
}

// ClockTurned notes that the wall clock jumped.
func (c *Oracle) ClockTurned(by model.Time) {
	c.turnedAt = c.w.Now()
	if by < 0 {
		c.setBackAt = c.w.Now()
	}
}

// Disturbed hears of trouble, after which more time is allowed.
func (c *Oracle) Disturbed() { c.shakenAt = c.w.Now() }

// TriedCommit reports whether the turn had a commit, written or not.
func (c *Oracle) TriedCommit() bool { return c.turn.tried }

// HasCommitted reports whether the turn's commit was written.
func (c *Oracle) HasCommitted() bool { return c.turn.commit != nil }

// What goes in.

// Received hears of a message that was taken in: from now on it may have its effect.
func (c *Oracle) Received(m *Message) {
	c.waiting = append(c.waiting, m)
	for _, op := range m.Ops {
		switch op := op.(type) {
		case engine.Submit:
			e := c.entry(op.Spec.ID)
			e.asked[asSubmit]++
			e.wishes = append(e.wishes, submission{op.Client, op.Hash})
		case engine.Heartbeat:
			k := c.worker(op.WorkerID)
			if op.State == model.StateLeaving {
				k.leftAt = c.w.Now()
			}
			for i := range op.Tasks {
				c.entry(op.Tasks[i].ID).hear(op.WorkerID, &op.Tasks[i])
			}
		case engine.Report:
			c.entry(op.ID).hear(op.Worker, &op.Report)
		case engine.RemoveWorker:
			c.worker(op.ID).removals++
		case engine.ResumeWorker:
			c.worker(op.ID).resumes++
		default:
			c.takenVerb(op)
		}
	}
}

// Answered notes that a message was answered.
func (c *Oracle) Answered(m *Message) {
	for i := range m.Answers {
		if m.Answers[i].Err == nil && !isQuery(m.Ops[i]) {
			c.turn.left++
		}
	}
	c.turn.calls = append(c.turn.calls, m)
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
	c.turn.left++
	for _, a := range list {
		c.turn.assigns = append(c.turn.assigns, sentAssign{worker, a})
	}
}

// Dropped notes a drop command to a worker.
func (c *Oracle) Dropped(worker string, d model.Drop) {
	c.turn.left++
	c.turn.drops = append(c.turn.drops, sentDrop{worker, d})
}

// TaskEvent notes the event of a task.
func (c *Oracle) TaskEvent(ev *model.TaskEvent) {
	c.turn.left++
	c.turn.events = append(c.turn.events, *ev)
}

// WorkerEvent notes the event of a worker.
func (c *Oracle) WorkerEvent(ev *model.WorkerEvent) {
	c.turn.left++
	c.turn.workers = append(c.turn.workers, *ev)
}

// ProgressEvent notes a progress event.
func (c *Oracle) ProgressEvent(*model.ProgressEvent) { c.turn.left++ }

// CommitFailed hears of a commit that returned an error.
func (c *Oracle) CommitFailed() {
	c.turn.tried, c.turn.failed = true, true
	if c.turn.imported != nil || c.turn.releases != nil {
		c.w.ImportCommitFailed()
	}
	c.shakenAt = c.w.Now()
}

// Committed hears of a commit that was written, whatever the dispatcher is told.
func (c *Oracle) Committed(b *model.Batch) {
	if c.turn.left > 0 {
		c.violate("answers-after-commit", "%d answers or messages have left before the commit of their turn", c.turn.left)
	}
	c.turn.tried, c.turn.commit = true, b
	for _, wc := range b.Workers {
		c.checkUndrained(&wc)
		if c.workerRows[wc.ID] = wc.Put; wc.Put == nil {
			delete(c.workerRows, wc.ID)
		}
	}
	for i := range b.Tasks {
		tc := &b.Tasks[i]
		e := c.entry(tc.ID)
		before := e.row
		if before == nil && tc.Put == nil {
			e.gone = true // born and deleted at once
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
	c.turn = turn{active: true, connected: c.d.Connected()}
	now := c.w.Now()
	steady := now - c.d.StartedAt()
	if c.turn.ticks = steady-c.ticked >= 1000; c.turn.ticks {
		c.ticked = steady
	}
	if !c.turn.ticks && len(c.waiting) == 0 {
		return // the loop finds nothing to do
	}
	if now-c.lastTurn > 5000 || c.d.Connected() && !c.wasOn {
		c.freshen()
		c.shakenAt = now
	}
	if !c.d.Connected() {
		c.shakenAt = now
	}
	c.lastTurn, c.wasOn = now, c.d.Connected()
	if c.wasOn {
		c.onAt = now
	}
}

// freshen gives every worker a fresh timeout. One whose time was over before may
// still be found to be lost.
func (c *Oracle) freshen() {
	for _, name := range c.names {
		k := c.workers[name]
		k.overdue = k.overdue || c.lastTurn-max(k.heard, c.freshAt) >= c.timeout()
	}
	c.freshAt = c.w.Now()
}

// EndTurn looks at a turn that is over. If the process did not survive it, what it had
// committed counts, and nothing else was.
func (c *Oracle) EndTurn(survived bool) {
	t := &c.turn
	c.sortCalls()
	if c.w.Failed() {
		return
	}
	for _, ch := range t.changes {
		c.checkHold(&ch)
		c.checkChange(&ch)
	}
	if survived {
		c.replay()
		if t.ticks && !t.failed && c.w.Now()-c.shakenAt > 5500 { // else the tick may have been refused
			c.dueWall = c.w.Wall()
		}
		c.checkPlacing()
		c.checkLimits()
		c.checkOut()
	}
	for _, ch := range t.changes {
		ch.e.settle(c, &ch)
	}
	if t.reload {
		c.forgetLive()
	}
	if c.refusedBeats() {
		c.freshen() // nobody is to blame for what the dispatcher would not hear
	}
	if survived {
		c.checkBooks()
	}
	c.tellTurn()
	t.active = false
}
