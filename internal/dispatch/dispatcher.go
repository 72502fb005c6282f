package dispatch

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/aria-cluster/dispatcher/internal/engine"
	"github.com/aria-cluster/dispatcher/pkg/model"
	"github.com/aria-cluster/dispatcher/pkg/repo"
)

// Outbox sends the messages of a turn after its commit. Its methods do not block for long.
// A message may be lost without harm: the next answer to a heartbeat repeats it.
type Outbox interface {
	// The first three are commands: term is that of the leader, 0 without standbys.

	Assign(worker string, term int64, assignments []model.Assignment)
	Drop(worker string, term int64, drops []model.Drop)
	RequestHeartbeat(worker string, term int64) // asks for a heartbeat now

	TaskEvent(ev *model.TaskEvent)
	Progress(ev *model.ProgressEvent)
	WorkerEvent(ev *model.WorkerEvent)
}

// Lease is the leadership of one dispatcher among several at one store.
type Lease interface {
	// Term returns its number, which is greater than 0 and never changes.
	Term() int64
	// Held reports whether no other dispatcher can lead now. After false it never
	// returns true again.
	Held() bool
	// End ends it: the store has refused a commit of its term.
	End()
}

// alone is the lease of a dispatcher with a store of its own.
type alone struct{}

func (alone) Term() int64 { return 0 }
func (alone) Held() bool  { return true }
func (alone) End()        {}

// Config is what a [Dispatcher] is made of. Every field but Retention, Lease, Freezes and
// Metrics is needed.
type Config struct {
	Engine    engine.Config
	Retention Retention
	Store     ReadStore
	Outbox    Outbox
	Connected func() bool // whether heartbeats can arrive now
	Logger    *slog.Logger
	Lease     Lease       // nil: no other dispatcher has the store
	Freezes   FreezeStore // nil: a freeze ends with the dispatcher
	Metrics   Metrics     // nil: nothing is counted
}

// FreezeStore keeps for the dispatchers that share a store whether it is frozen: whichever
// leads next refuses writes too.
type FreezeStore interface {
	// Frozen reports whether writes are refused. It waits for a commit of unknown outcome, as
	// [repo.Loader] does.
	Frozen(ctx context.Context) (bool, error)
	// SetFrozen is a commit, with the errors of one: after an error the outcome is unknown
	// until Frozen or the next SetFrozen succeeds.
	SetFrozen(ctx context.Context, frozen bool) error
}

// noFreezes is the FreezeStore of a dispatcher with a store of its own.
type noFreezes struct{}

func (noFreezes) Frozen(context.Context) (bool, error)  { return false, nil }
func (noFreezes) SetFrozen(context.Context, bool) error { return nil }

// ReadStore is a [Store] that also gives lists.
type ReadStore interface {
	Store
	repo.Snapshotter
	List(ctx context.Context, q *model.ListQuery) (*model.TaskPage, error)
}

const (
	maxBatch   = 1024   // weight of one turn, in operations
	inboxLimit = 16_384 // weight that may wait in a lane; a request past it is answered 503
	tickEvery  = 1000   // milliseconds
	drainTime  = 4 * time.Second

	firstRetry = 250 * time.Millisecond // after a failed commit or load; doubles up to
	lastRetry  = 5 * time.Second
)

var errInboxFull = model.Errorf(model.CodeUnavailable, "the dispatcher has more to do than it can take in now: try again")

// Dispatcher is the loop around [Turn]: one goroutine, in [Dispatcher.Run], owns
// engine and writer.
type Dispatcher struct {
	cfg   Config
	turn  *Turn
	inbox *inbox
	log   *oplog
	ready atomic.Bool
	loads atomic.Int64 // of the engine from the store

	figures atomic.Pointer[engine.Figures] // nil before the first load

	controls chan func(*loop) // called between two turns
	stopped  chan struct{}    // closed when the loop has ended
	freezes  atomic.Int64     // that were made; see Thaw
	started  model.Time

	// Of the loop's goroutine.
	clock         func() engine.Clock
	panics        int        // panics since the last that was logged
	panicLoggedAt model.Time // on the steady clock
}

// New returns a dispatcher that serves once Run is called; calls that come before
// wait in its inbox.
func New(cfg Config) *Dispatcher {
	if cfg.Metrics == nil {
		cfg.Metrics = noMetrics{}
	}
	if cfg.Lease == nil {
		cfg.Lease = alone{}
	}
	if cfg.Freezes == nil {
		cfg.Freezes = noFreezes{}
	}
	d := &Dispatcher{
		cfg: cfg, turn: NewTurn(cfg.Engine, cfg.Store), inbox: newInbox(inboxLimit), log: newOplog(cfg.Logger),
		controls: make(chan func(*loop)), stopped: make(chan struct{}), started: model.TimeOf(time.Now()),
		clock: machineClock(),
	}
	d.turn.lease, d.turn.onPanic, d.turn.onBadRows = cfg.Lease, d.logPanic, d.logBadRows
	return d
}

// Ready reports whether writes are accepted: not before the first load, nor after a
// failed commit until one has succeeded again, nor after the end of the lease.
func (d *Dispatcher) Ready() bool { return d.ready.Load() }

// Loads counts how often the state was loaded from the store. A reader of the events reads
// the state again after each load: a commit with an unknown outcome has no events.
func (d *Dispatcher) Loads() int64 { return d.loads.Load() }

// CheckLoop returns nil once the loop has answered between two turns, an error if it
// has ended or ctx ends first. A watchdog asks it: a loop that hangs in a turn
// does not answer. A store that refuses writes does not keep it from answering.
func (d *Dispatcher) CheckLoop(ctx context.Context) error {
	_, err := runInLoop(ctx, d, func(*loop) (struct{}, error) { return struct{}{}, nil }, nil)
	return err
}

// Do accepts the operations of one message, which all belong to one worker or one
// client. It never blocks: if the inbox is full or the dispatcher has stopped it returns
// CodeUnavailable and accepts nothing. Otherwise done is called exactly once, from the
// loop's goroutine, after the commit of the last operation, with an answer for each in
// order; it must not block for long.
func (d *Dispatcher) Do(ops []engine.Event, done func([]engine.Answer)) *model.Error {
	c := &call{ops: ops, answers: make([]engine.Answer, len(ops)), done: done}
	if len(ops) == 0 {
		done(c.answers)
		return nil
	}
	if !d.inbox.put(c) {
		d.cfg.Metrics.InboxFull()
		for _, op := range ops {
			d.countRejected(op, errInboxFull)
		}
		return errInboxFull
	}
	return nil
}

// Run loads the engine and turns until ctx ends; then it answers what is in the
// inbox, within 4 s, and returns. Stop the callers of Do first.
func (d *Dispatcher) Run(ctx context.Context) error {
	defer close(d.stopped)
	defer d.ready.Store(false)
	tick := time.NewTicker(tickEvery * time.Millisecond)
	defer tick.Stop()
	l := &loop{Dispatcher: d}
	l.load(ctx)
	for ctx.Err() == nil {
		if !l.unplaced && !d.inbox.waiting() {
			select {
			case <-ctx.Done():
			case <-d.inbox.wake:
			case <-tick.C:
			case control := <-d.controls:
				control(l)
			}
		}
		select {
		case control := <-d.controls:
			control(l)
		default:
		}
		l.step(context.WithoutCancel(ctx)) // a stop must not cut a commit in two
	}
	d.inbox.close()
	l.drain()
	return nil
}
