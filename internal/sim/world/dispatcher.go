package world

import (
	"context"
	"log/slog"

	"github.com/aria-cluster/dispatcher/internal/dispatch"
	"github.com/aria-cluster/dispatcher/internal/engine"
	"github.com/aria-cluster/dispatcher/internal/sim/oracle"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// dispatcher is one process: the real loop, with a store that may fail and a
// network round it. While it is down it has no loop.
type dispatcher struct {
	w     *world
	name  string
	check *oracle.Oracle
	store *store

	manual    *dispatch.Manual
	life      int        // of the process, raised by each start
	began     model.Time // zero of its steady clock
	connected bool       // as it knows
	busy      model.Time // until then it stands still
	planned   bool       // a step is

	crashInAnswers bool // at the next turn with more than one
	outs           []func()
}

func newDispatcher(w *world, name string) *dispatcher {
	d := &dispatcher{w: w, name: name}
	d.check = oracle.New(w, d, name, &w.plan.engine, w.plan.keep)
	d.store = newStore(w, name, d.check)
	return d
}

// StartedAt implements [oracle.Dispatcher].
func (d *dispatcher) StartedAt() model.Time { return d.began }

// Connected implements [oracle.Dispatcher].
func (d *dispatcher) Connected() bool { return d.connected }

// Query implements [oracle.Dispatcher].
func (d *dispatcher) Query(events ...engine.Event) ([]dispatch.Answer, bool) {
	return d.manual.Query(events...)
}

// start starts the process. Its steady clock begins anew.
func (d *dispatcher) start() {
	w := d.w
	d.life++
	d.began, d.connected, d.busy, d.planned = w.now, !w.outage, 0, false
	d.check.Started()
	d.manual = dispatch.NewManual(dispatch.Config{
		Engine: w.plan.engine, Retention: w.plan.keep, Store: d.store, Outbox: d, Connected: func() bool { return d.connected },
		Logger: slog.New(&logger{d}),
	}, d.clock)
	w.say("%s: starts", d.name)
	d.run(func() { d.manual.Start(d.store.ctx) })
	d.tick(d.life)
}

func (d *dispatcher) clock() engine.Clock {
	return engine.Clock{Wall: d.w.wall(), Steady: d.w.now - d.began}
}

// crash ends the process: what it has taken in and not written is gone.
func (d *dispatcher) crash(why Fault) {
	if d.manual == nil {
		return
	}
	d.w.say("%s: %s", d.name, why)
	d.w.struck(why)
	d.stop()
}

func (d *dispatcher) stop() {
	d.manual = nil
	d.life++
	d.check.Stopped()
}

// startLater starts a crashed process again.
func (d *dispatcher) startLater(after model.Time) {
	life := d.life
	d.w.in(after, func() {
		if d.manual == nil && d.life == life {
			d.start()
		}
	})
}

// tick wakes the loop each second, as its ticker does.
func (d *dispatcher) tick(life int) {
	if d.life != life || d.manual == nil {
		return
	}
	d.w.in(1000, func() { d.tick(life) })
	d.wake(0)
}

// wake plans a step; those who come before it are in one batch.
func (d *dispatcher) wake(after model.Time) {
	if d.planned {
		return
	}
	d.planned = true
	life := d.life
	d.w.at(max(d.w.now+after, d.busy), func() {
		if d.life != life || d.manual == nil {
			return
		}
		d.planned = false
		if d.w.now < d.busy {
			d.wake(0)
			return
		}
		d.step()
	})
}

// take takes a message in. answer brings what is said to it on its way; it is not
// called if the process ends before.
func (d *dispatcher) take(worker bool, ops []engine.Event, answer func([]dispatch.Answer)) {
	c := &oracle.Message{Ops: ops, FromWorker: worker}
	d.check.Received(c)
	err := d.manual.Do(ops, func(answers []dispatch.Answer) {
		c.Answers = append([]dispatch.Answer(nil), answers...)
		d.check.Answered(c)
		d.outs = append(d.outs, func() { answer(c.Answers) })
	})
	if err != nil {
		d.w.violate("takes-in", "%s: %v", d.name, err) // its inbox is far larger than the world
		return
	}
	d.wake(between(d.w.net, 0, 2))
}

// step is one turn of the loop, looked at from all sides afterwards.
func (d *dispatcher) step() {
	w := d.w
	w.tally.Turns++
	d.check.BeginTurn()
	again := false
	survived := d.run(func() { again = d.manual.Step(d.store.ctx) })
	d.check.EndTurn(survived)
	if !survived {
		return
	}
	if d.store.slow > 0 && d.check.HasCommitted() {
		d.busy = w.now + d.store.slow
	}
	d.letOut()
	if again && d.manual != nil {
		d.wake(1)
	}
}

// letOut sends what the turn has to say; a process that is slow says it late, one
// that crashes here says only a part.
func (d *dispatcher) letOut() {
	outs := d.outs
	d.outs = nil
	if d.crashInAnswers && len(outs) > 1 {
		d.crashInAnswers = false
		outs = outs[:d.w.luck.IntN(len(outs))]
		defer func() {
			d.crash(CrashInAnswers)
			d.startLater(between(d.w.luck, 10, 20_000))
		}()
	}
	for _, out := range outs {
		if d.busy > d.w.now {
			d.w.at(d.busy, out)
			continue
		}
		out()
	}
}

// run runs a part of the process, and sees it crash: the process is a goroutine
// that nothing else runs beside, and a crash ends it where it stands. The loop
// recovers a panic, so a crash must not be one.
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
		d.outs = nil
		d.stop()
		d.startLater(between(d.w.luck, 10, 20_000))
	}
	return survived
}

// What leaves after a commit; [dispatch.Outbox].

func (d *dispatcher) Assign(name string, assignments []model.Assignment) {
	d.check.Assigned(name, assignments)
	d.command(name, func(k *worker) { k.take(assignments) })
}

func (d *dispatcher) Drop(name string, drops []model.Drop) {
	for _, drop := range drops {
		d.check.Dropped(name, drop)
	}
	d.command(name, func(k *worker) { k.dropAll(drops) })
}

func (d *dispatcher) RequestHeartbeat(name string) {
	d.command(name, func(k *worker) { k.beatSoon() })
}

func (d *dispatcher) TaskEvent(ev *model.TaskEvent)     { d.check.TaskEvent(ev) }
func (d *dispatcher) WorkerEvent(ev *model.WorkerEvent) { d.check.WorkerEvent(ev) }
func (d *dispatcher) Progress(ev *model.ProgressEvent)  { d.check.ProgressEvent(ev) }

// command goes to everybody who listens under the worker's name.
func (d *dispatcher) command(name string, obey func(k *worker)) {
	d.outs = append(d.outs, func() {
		for _, k := range d.w.workers {
			if k.name != name {
				continue
			}
			life := k.life
			d.w.carry(k, false, func() {
				if k.up && k.life == life {
					k.hear(func() { obey(k) })
				}
			})
		}
	})
}

// logger prints what the process logs. That is no part of the trace: how much of it
// is logged is bounded by the machine's clock.
type logger struct{ d *dispatcher }

func (l *logger) Handle(_ context.Context, r slog.Record) error {
	l.d.w.print("%s logs: %s", l.d.name, r.Message)
	l.checkPanic(&r)
	return nil
}

func (l *logger) WithAttrs([]slog.Attr) slog.Handler { return l }
func (l *logger) WithGroup(string) slog.Handler      { return l }
