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
	Query(events ...engine.Event) ([]engine.Answer, bool)
}

// Oracle observes one dispatcher from outside: its input, its output, and the writes to
// its store. It checks each turn after its end.
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

	cooldowns map[cooldownKey]*cooldown

	undecided []*Message // received, not yet decided
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

// New returns the checks of the dispatcher of a name.
func New(w World, d Dispatcher, name string, cfg *engine.Config, keep dispatch.Retention) *Oracle {
	return &Oracle{
		world: w, dispatcher: d, name: name, cfg: cfg, retention: keep,
		tasks: make(map[string]*taskHistory), counts: make(model.Counts), workers: make(map[string]*workerHistory),
		workerRows: make(map[string]*model.Worker), cooldowns: make(map[cooldownKey]*cooldown),
	}
}

func (c *Oracle) violate(invariant, format string, args ...any) {
	c.world.Violate(invariant, c.name+": "+format, args...)
}

func millis(d model.Duration) model.Time { return model.Time(time.Duration(d).Milliseconds()) }

func (c *Oracle) heartbeatTimeout() model.Time { return millis(c.cfg.HeartbeatTimeout) }

// maxBackOff is how long a dispatcher may refuse everything, heartbeats and ticks too, after a
// failure of its store; the engine does not count this time.
const maxBackOff = 5500

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

// Tasks is the number of tasks that were ever named.
func (c *Oracle) Tasks() int { return len(c.taskOrder) }

// TaskID is the id of one of them.
func (c *Oracle) TaskID(i int) string { return c.taskOrder[i].id }

// IsDrained reports whether the store has a worker as drained.
func (c *Oracle) IsDrained(worker string) bool {
	row := c.workerRows[worker]
	return row != nil && row.Drained
}

// CanServe reports whether a worker with the capabilities can do a task at all.
func (c *Oracle) CanServe(caps *model.Capabilities, t *model.Task) bool {
	return c.isCapable(&workerHistory{heartbeat: &model.Heartbeat{Capabilities: *caps}}, t)
}

// LiveTasks lists the tasks that have not ended.
func (c *Oracle) LiveTasks() []string {
	var ids []string
	for _, e := range c.taskOrder {
		if e.row != nil && !e.row.Status.Terminal() {
			ids = append(ids, e.id)
		}
	}
	return ids
}
