package dispatch

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/aria-cluster/dispatcher/pkg/engine"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// Outbox takes what leaves after a commit. Its methods do not block for long; what
// they cannot send is lost without harm, for the next heartbeat says it again.
type Outbox interface {
	Assign(worker string, assignments []model.Assignment)
	Drop(worker string, drops []model.Drop)
	TaskEvent(ev *model.TaskEvent)
	Progress(ev *model.ProgressEvent)
	WorkerEvent(ev *model.WorkerEvent)
}

// Config is what a [Dispatcher] is made of. Every field is needed.
type Config struct {
	Engine    engine.Config
	Store     ReadStore
	Outbox    Outbox
	Connected func() bool // whether workers can be heard now
	Logger    *slog.Logger
}

// ReadStore is a [Store] that also gives lists.
type ReadStore interface {
	Store
	List(ctx context.Context, q *model.ListQuery) (*model.TaskPage, error)
}

const (
	maxBatch   = 1024   // operations of one turn
	inboxLimit = 16_384 // operations that may wait; a request past it is answered 503
	tickEvery  = 1000   // milliseconds
	reloadWait = 1 * time.Second
)

// Dispatcher is the loop round [Turn]: one goroutine, in [Dispatcher.Run], owns
// engine and writer.
type Dispatcher struct {
	cfg   Config
	turn  *Turn
	inbox *inbox
	ready atomic.Bool
}

// New returns a dispatcher that serves once Run is called; calls that come before
// wait in its inbox.
func New(cfg Config) *Dispatcher {
	return &Dispatcher{cfg: cfg, turn: NewTurn(cfg.Engine, cfg.Store), inbox: newInbox(inboxLimit)}
}

// Ready reports whether the engine is in step with the store: not before the
// first load, nor between a failed commit and the next one.
func (d *Dispatcher) Ready() bool { return d.ready.Load() }

// Do takes in the operations of one message. It never blocks: if the inbox is
// full or the dispatcher has stopped it returns CodeUnavailable and nothing was
// taken in. Otherwise done is called exactly once, from the loop's goroutine,
// after the commit of the last operation, with an answer for each in order; it
// must not block.
func (d *Dispatcher) Do(ops []engine.Event, done func([]model.Answer)) *model.Error {
	return d.put(ops, func(answers []Answer) {
		public := make([]model.Answer, len(answers))
		for i := range answers {
			a := &answers[i]
			public[i] = model.Answer{Err: a.Err, Task: a.Task, Heartbeat: a.Heartbeat, Drop: a.Drop}
		}
		done(public)
	})
}

func (d *Dispatcher) put(ops []engine.Event, done func([]Answer)) *model.Error {
	c := &call{ops: ops, answers: make([]Answer, len(ops)), done: done}
	if len(ops) == 0 {
		done(c.answers)
		return nil
	}
	if !d.inbox.put(c) {
		return model.Errorf(model.CodeUnavailable, "the dispatcher has more to do than it can take in now: try again")
	}
	return nil
}

// Run loads the engine and turns until ctx ends; then it answers what is in the
// inbox and returns. Stop those who call Do first.
func (d *Dispatcher) Run(ctx context.Context) error {
	defer d.ready.Store(false)
	tick := time.NewTicker(tickEvery * time.Millisecond)
	defer tick.Stop()
	l := &loop{Dispatcher: d}
	l.load(ctx)
	for ctx.Err() == nil {
		if !l.more && !d.inbox.waiting() {
			select {
			case <-ctx.Done():
			case <-d.inbox.wake:
			case <-tick.C:
			}
		}
		l.step(ctx)
	}
	d.inbox.close()
	l.drain()
	return nil
}

// loop is what the goroutine of Run owns.
type loop struct {
	*Dispatcher
	more    bool // the last turn left something to place
	ticked  model.Time
	retryAt time.Time // when to load again after a failure
	events  []engine.Event
	parts   []part
}

// drain answers what was taken in before the stop.
func (l *loop) drain() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	for l.inbox.waiting() {
		l.step(ctx)
	}
}

// step takes one batch through a turn. The time is read once for the batch.
func (l *loop) step(ctx context.Context) {
	ctx = context.WithoutCancel(ctx) // a stop must not cut a commit in two
	now := model.TimeOf(time.Now())
	l.events, l.parts = l.events[:0], l.parts[:0]
	if now-l.ticked >= tickEvery || now < l.ticked {
		l.ticked = now
		l.events = append(l.events, engine.Tick{})
	}
	ticks := len(l.events)
	l.events, l.parts = l.inbox.take(maxBatch, l.events, l.parts)
	if len(l.events) == 0 && !l.more {
		return
	}
	if !l.turn.Loaded() && time.Now().After(l.retryAt) {
		l.load(ctx)
	}
	if !l.turn.Loaded() {
		l.more = false
		l.refuse(model.Errorf(model.CodeUnavailable, "the store is not available now: try again"))
		return
	}
	out, err := l.turn.Do(ctx, now, l.cfg.Connected(), l.events)
	if err != nil {
		l.more = false
		l.cfg.Logger.Error("the turn failed; what was asked in it is answered 503", "operations", len(l.parts), "err", err)
		if !l.turn.Loaded() {
			l.ready.Store(false)
			l.load(ctx)
		}
		l.refuse(unavailable(err))
		return
	}
	l.more = out.More
	l.answer(out.Answers[ticks:])
	l.publish(out)
	clear(l.events) // let go of what the batch held
	clear(l.parts)
}

// unavailable is what requesters are told about a failed turn: the store's own
// sentence where it has one.
func unavailable(err error) *model.Error {
	var e *model.Error
	if errors.As(err, &e) && e.Code == model.CodeUnavailable {
		return e
	}
	return model.Errorf(model.CodeUnavailable, "the store could not be written: whether this was done is not known; try again")
}

// load brings the engine in step with the store; if it fails, step tries again
// later and requests are answered 503 meanwhile.
func (l *loop) load(ctx context.Context) {
	start := time.Now()
	if err := l.turn.Load(ctx, model.TimeOf(start)); err != nil {
		l.retryAt = time.Now().Add(reloadWait)
		if ctx.Err() != nil {
			return // stopped meanwhile
		}
		l.cfg.Logger.Error("the store cannot be read; trying again", "err", err)
		return
	}
	l.ready.Store(true)
	l.cfg.Logger.Debug("loaded the live tasks from the store", "took", time.Since(start))
}

// answer hands the answers to their calls and finishes those that are complete.
func (l *loop) answer(answers []Answer) {
	for i, p := range l.parts {
		p.call.answers[p.at] = answers[i]
		if p.at == len(p.call.ops)-1 {
			p.call.done(p.call.answers)
		}
	}
}

func (l *loop) refuse(err *model.Error) {
	answers := make([]Answer, len(l.parts))
	for i := range answers {
		answers[i].Err = err
	}
	l.answer(answers)
}

func (l *loop) publish(out *Outcome) {
	for _, c := range out.Commands {
		if len(c.Assign) > 0 {
			l.cfg.Outbox.Assign(c.Worker, c.Assign)
		}
		if len(c.Drop) > 0 {
			l.cfg.Outbox.Drop(c.Worker, c.Drop)
		}
	}
	for i := range out.Tasks {
		l.cfg.Outbox.TaskEvent(&out.Tasks[i])
	}
	for i := range out.Progress {
		l.cfg.Outbox.Progress(&out.Progress[i])
	}
	for i := range out.Workers {
		l.cfg.Outbox.WorkerEvent(&out.Workers[i])
	}
	for _, n := range out.Notes {
		l.cfg.Logger.Warn(n.Text, "task", n.Task, "worker", n.Worker)
	}
}
