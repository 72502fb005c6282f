package world

import (
	"context"
	"log/slog"

	"github.com/aria-cluster/dispatcher/internal/dispatch"
	"github.com/aria-cluster/dispatcher/internal/engine"
	"github.com/aria-cluster/dispatcher/internal/sim/oracle"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// dispatcher is one process: the real loop, with a store that may fail and a network
// around it. While it is down it has no loop.
type dispatcher struct {
	world  *world
	name   string
	oracle *oracle.Oracle
	store  *store

	stepper    *dispatch.Stepper
	generation int        // of the process, raised by each start
	startedAt  model.Time // zero of its steady clock
	connected  bool       // as the dispatcher knows
	busyUntil  model.Time // it stalls until then
	hasStep    bool       // a step is

	crashInAnswers bool // at the next turn with more than one
	outputs        []func()
}

func newDispatcher(w *world, name string) *dispatcher {
	d := &dispatcher{world: w, name: name}
	d.oracle = oracle.New(w, d, name, &w.plan.engine, w.plan.retention)
	d.store = newStore(w, name, d.oracle)
	return d
}

// StartedAt implements [oracle.Dispatcher].
func (d *dispatcher) StartedAt() model.Time { return d.startedAt }

// Connected implements [oracle.Dispatcher].
func (d *dispatcher) Connected() bool { return d.connected }

// Query implements [oracle.Dispatcher].
func (d *dispatcher) Query(events ...engine.Event) ([]engine.Answer, bool) {
	return d.stepper.Query(events...)
}

// start starts the process. Its steady clock begins at zero.
func (d *dispatcher) start() {
	w := d.world
	d.generation++
	d.startedAt, d.connected, d.busyUntil, d.hasStep = w.now, !w.outage, 0, false
	d.oracle.Started()
	d.stepper = dispatch.NewStepper(dispatch.Config{
		Engine: w.plan.engine, Retention: w.plan.retention, Store: d.store, Outbox: d, Connected: func() bool { return d.connected },
		Logger: slog.New(&logger{d}),
	}, d.clock)
	w.trace("%s: starts", d.name)
	d.run(func() { d.stepper.Load(d.store.ctx) })
	d.tick(d.generation)
}

func (d *dispatcher) clock() engine.Clock {
	return engine.Clock{Wall: d.world.wall(), Steady: d.world.now - d.startedAt}
}

// crash ends the process: its input that is not committed is lost.
func (d *dispatcher) crash(why Fault) {
	if d.stepper == nil {
		return
	}
	d.world.trace("%s: %s", d.name, why)
	d.world.countFault(why)
	d.stop()
}

func (d *dispatcher) stop() {
	d.stepper = nil
	d.generation++
	d.oracle.Stopped()
}

// startLater starts a crashed process again.
func (d *dispatcher) startLater(after model.Time) {
	life := d.generation
	d.world.planIn(after, func() {
		if d.stepper == nil && d.generation == life {
			d.start()
		}
	})
}

// tick wakes the loop each second, as its ticker does.
func (d *dispatcher) tick(life int) {
	if d.generation != life || d.stepper == nil {
		return
	}
	d.world.planIn(1000, func() { d.tick(life) })
	d.planStep(0)
}

// planStep plans a step; messages that arrive before it are in one batch.
func (d *dispatcher) planStep(after model.Time) {
	if d.hasStep {
		return
	}
	d.hasStep = true
	life := d.generation
	d.world.planAt(max(d.world.now+after, d.busyUntil), func() {
		if d.generation != life || d.stepper == nil {
			return
		}
		d.hasStep = false
		if d.world.now < d.busyUntil {
			d.planStep(0)
			return
		}
		d.step()
	})
}

// receive adds a message to the inbox. answer sends the answer; it is not called if the
// process ends before.
func (d *dispatcher) receive(worker bool, ops []engine.Event, answer func([]engine.Answer)) {
	c := &oracle.Message{Ops: ops, FromWorker: worker}
	d.oracle.Received(c)
	err := d.stepper.Do(ops, func(answers []engine.Answer) {
		c.Answers = append([]engine.Answer(nil), answers...)
		d.oracle.Answered(c)
		d.outputs = append(d.outputs, func() { answer(c.Answers) })
	})
	if err != nil {
		d.world.violate("takes-in", "%s: %v", d.name, err) // its inbox is far larger than the world
		return
	}
	d.planStep(between(d.world.networkRand, 0, 2))
}

// step plays one turn of the loop, and the oracle checks it.
func (d *dispatcher) step() {
	w := d.world
	w.stats.Turns++
	d.oracle.BeginTurn()
	again := false
	survived := d.run(func() { again = d.stepper.Step(d.store.ctx) })
	d.oracle.EndTurn(survived)
	if !survived {
		return
	}
	if d.store.slow > 0 && d.oracle.HasCommitted() {
		d.busyUntil = w.now + d.store.slow
	}
	d.sendOutputs()
	if again && d.stepper != nil {
		d.planStep(1)
	}
}

// sendOutputs sends the output of the turn; a slow process sends it late, and one that
// crashes here sends only a part.
func (d *dispatcher) sendOutputs() {
	outs := d.outputs
	d.outputs = nil
	if d.crashInAnswers && len(outs) > 1 {
		d.crashInAnswers = false
		outs = outs[:d.world.faultRand.IntN(len(outs))]
		defer func() {
			d.crash(CrashInAnswers)
			d.startLater(between(d.world.faultRand, 10, 20_000))
		}()
	}
	for _, out := range outs {
		if d.busyUntil > d.world.now {
			d.world.planAt(d.busyUntil, out)
			continue
		}
		out()
	}
}

// run runs a part of the process in a goroutine, while nothing else runs. A crash ends
// the goroutine; it is not a panic, because the loop recovers panics.
func (d *dispatcher) run(part func()) (survived bool) {
	ended := make(chan any, 1)
	go func() {
		panicked := true
		defer func() {
			var p any
			if panicked {
				p = recover() // nil: a crash
			}
			ended <- p
		}()
		part()
		survived, panicked = true, false
	}()
	if p := <-ended; p != nil {
		panic(p)
	}
	if !survived {
		d.outputs = nil
		d.stop()
		d.startLater(between(d.world.faultRand, 10, 20_000))
	}
	return survived
}

// What leaves after a commit; [dispatch.Outbox].

func (d *dispatcher) Assign(name string, _ int64, assignments []model.Assignment) {
	d.oracle.Assigned(name, assignments)
	d.command(name, func(k *worker) { k.applyAssignments(assignments) })
}

func (d *dispatcher) Drop(name string, _ int64, drops []model.Drop) {
	for _, drop := range drops {
		d.oracle.Dropped(name, drop)
	}
	d.command(name, func(k *worker) { k.dropAll(drops) })
}

func (d *dispatcher) RequestHeartbeat(name string, _ int64) {
	d.command(name, func(k *worker) { k.planHeartbeatSoon() })
}

func (d *dispatcher) TaskEvent(ev *model.TaskEvent)     { d.oracle.TaskEvent(ev) }
func (d *dispatcher) WorkerEvent(ev *model.WorkerEvent) { d.oracle.WorkerEvent(ev) }
func (d *dispatcher) Progress(ev *model.ProgressEvent)  { d.oracle.ProgressEvent(ev) }

// command goes to each worker that listens under the name.
func (d *dispatcher) command(name string, obey func(k *worker)) {
	d.outputs = append(d.outputs, func() {
		for _, k := range d.world.workers {
			if k.name != name {
				continue
			}
			life := k.generation
			d.world.deliver(k, false, func() {
				if k.isUp && k.generation == life {
					k.receive(func() { obey(k) })
				}
			})
		}
	})
}

// logger prints what the process logs. That is no part of the trace: how much of it
// is logged is bounded by the machine's clock.
type logger struct{ d *dispatcher }

func (l *logger) Handle(_ context.Context, r slog.Record) error {
	l.d.world.print("%s logs: %s", l.d.name, r.Message)
	l.checkPanic(&r)
	return nil
}

func (l *logger) WithAttrs([]slog.Attr) slog.Handler { return l }
func (l *logger) WithGroup(string) slog.Handler      { return l }
