package sim

import (
	"time"

	"github.com/aria-cluster/dispatcher/internal/engine"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// checker is what can be known of one dispatcher from outside: what was said to
// it, what it said, and what its store was given. Each turn is looked at when it is
// over.
type checker struct {
	w    *world
	d    *dispatcher
	name string
	cfg  *engine.Config

	ledger map[string]*entry
	order  []*entry // as they came
	counts model.Counts

	workerRows map[string]*model.Worker // in the store
	workers    map[string]*known
	names      []string // of the workers, as they came

	waiting []*call // taken in, not yet decided
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

func newChecker(w *world, d *dispatcher) *checker {
	return &checker{
		w: w, d: d, name: d.name, cfg: &w.plan.engine,
		ledger: make(map[string]*entry), counts: make(model.Counts), workers: make(map[string]*known),
		workerRows: make(map[string]*model.Worker),
	}
}

func (c *checker) violate(invariant, format string, args ...any) {
	c.w.violate(invariant, c.name+": "+format, args...)
}

func ms(d model.Duration) model.Time { return model.Time(time.Duration(d).Milliseconds()) }

func (c *checker) timeout() model.Time { return ms(c.cfg.HeartbeatTimeout) }

// grace is how long a living worker may not list what it was given.
func (c *checker) grace() model.Time { return 2*ms(c.cfg.HeartbeatInterval) + 5000 }

func (c *checker) entry(id string) *entry {
	e := c.ledger[id]
	if e == nil {
		e = &entry{id: id}
		c.ledger[id] = e
		c.order = append(c.order, e)
	}
	return e
}

func (c *checker) worker(name string) *known {
	k := c.workers[name]
	if k == nil {
		k = &known{name: name, stopping: make(map[string]stopping), heard: -1 << 40}
		c.workers[name] = k
		c.names = append(c.names, name)
	}
	return k
}

// What happens to the process.

func (c *checker) started() {
	c.forgetHolds()
	c.waiting, c.isLoaded, c.turn = nil, false, turn{}
	c.ticked, c.dueWall, c.lastTurn = 0, 0, c.w.now
	c.wasOn = true // as a fresh engine believes
	c.shakenAt = c.w.now
}

func (c *checker) stopped() { c.isLoaded, c.shakenAt = false, c.w.now }

func (c *checker) unloaded() { c.isLoaded, c.shakenAt = false, c.w.now }

// loaded hears that an engine was built from the store. After a commit that failed
// it is the next turn's.
func (c *checker) loaded() {
	c.isLoaded = true
	if c.turn.active && c.turn.tried {
		c.turn.reload = true
		return
	}
	c.forgetLive()
}

// forgetLive forgets what a fresh engine cannot know.
func (c *checker) forgetLive() {
	if c.imports.active {
		c.w.struck(ReloadInImport)
	}
	c.loadedAt, c.freshAt, c.shakenAt = c.w.now, c.w.now, c.w.now
	for _, name := range c.names {
		k := c.workers[name]
		k.spoken, k.present = false, false
		clear(k.stopping)
	}
	for _, e := range c.order {
		e.named, e.shunned, e.listedAt, e.owed = 0, nil, c.w.now, 0
	}
}

func (c *checker) clockTurned(by model.Time) {
	c.turnedAt = c.w.now
	if by < 0 {
		c.setBackAt = c.w.now
	}
}

// What goes in.

// taken hears of a message that was taken in: from now on it may have its effect.
func (c *checker) taken(m *call) {
	c.waiting = append(c.waiting, m)
	for _, op := range m.ops {
		switch op := op.(type) {
		case engine.Submit:
			e := c.entry(op.Spec.ID)
			e.asked[asSubmit]++
			e.wishes = append(e.wishes, submission{op.Client, op.Hash})
		case engine.Heartbeat:
			k := c.worker(op.WorkerID)
			if op.State == model.StateLeaving {
				k.leftAt = c.w.now
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

func (c *checker) answered(m *call) {
	for i := range m.answers {
		if m.answers[i].Err == nil && !isQuery(m.ops[i]) {
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

func (c *checker) assigned(worker string, list []model.Assignment) {
	c.turn.left++
	for _, a := range list {
		c.turn.assigns = append(c.turn.assigns, sentAssign{worker, a})
	}
}

func (c *checker) dropped(worker string, d model.Drop) {
	c.turn.left++
	c.turn.drops = append(c.turn.drops, sentDrop{worker, d})
}

func (c *checker) taskEvent(ev *model.TaskEvent) {
	c.turn.left++
	c.turn.events = append(c.turn.events, *ev)
}

func (c *checker) workerEvent(ev *model.WorkerEvent) {
	c.turn.left++
	c.turn.workers = append(c.turn.workers, *ev)
}

func (c *checker) progress(*model.ProgressEvent) { c.turn.left++ }

// failedCommit hears of a commit that returned an error.
func (c *checker) failedCommit() {
	c.turn.tried, c.turn.failed = true, true
	if c.turn.imported != nil || c.turn.releases != nil {
		c.w.struck(ImportCommitFails)
	}
	c.shakenAt = c.w.now
}

// committed hears of a commit that was written, whatever the dispatcher is told.
func (c *checker) committed(b *model.Batch) {
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

func (c *checker) begin() {
	c.turn = turn{active: true, connected: c.d.connected}
	now := c.w.now
	steady := now - c.d.began
	if c.turn.ticks = steady-c.ticked >= 1000; c.turn.ticks {
		c.ticked = steady
	}
	if !c.turn.ticks && len(c.waiting) == 0 {
		return // the loop finds nothing to do
	}
	if now-c.lastTurn > 5000 || c.d.connected && !c.wasOn {
		c.freshen()
		c.shakenAt = now
	}
	if !c.d.connected {
		c.shakenAt = now
	}
	c.lastTurn, c.wasOn = now, c.d.connected
	if c.wasOn {
		c.onAt = now
	}
}

// freshen gives every worker a fresh timeout. One whose time was over before may
// still be found to be lost.
func (c *checker) freshen() {
	for _, name := range c.names {
		k := c.workers[name]
		k.overdue = k.overdue || c.lastTurn-max(k.heard, c.freshAt) >= c.timeout()
	}
	c.freshAt = c.w.now
}

// end looks at a turn that is over. If the process did not survive it, what it had
// committed counts, and nothing else was.
func (c *checker) end(survived bool) {
	t := &c.turn
	c.sortCalls()
	if c.w.failed != nil {
		return
	}
	for _, ch := range t.changes {
		c.checkHold(&ch)
		c.checkChange(&ch)
	}
	if survived {
		c.replay()
		if t.ticks && !t.failed && c.w.now-c.shakenAt > 5500 { // else the tick may have been refused
			c.dueWall = c.w.wall()
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
