package pair

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/aria-cluster/dispatcher/internal/dispatch"
	"github.com/aria-cluster/dispatcher/internal/engine"
	"github.com/aria-cluster/dispatcher/internal/lead"
	"github.com/aria-cluster/dispatcher/pkg/model"
	"github.com/aria-cluster/dispatcher/pkg/repo"
)

const (
	// The dispatchers have different times: while the settings of a cluster are changed, two
	// that differ share a row.
	longTTL  = 4 * time.Second
	shortTTL = 2 * time.Second
	renew    = 500 // milliseconds
)

// process is one dispatcher: it stands by, or leads with the real loop.
type process struct {
	world *world
	name  string
	ttl   time.Duration

	life      int        // raised by each end
	startedAt model.Time // zero of its clock
	suspended model.Time // until then
	inCommit  model.Time // it is suspended for so long in its next commit
	slowRow   bool       // statements at the row are slow or lost
	cutRow    bool       // statements at the row are lost
	slowTake  bool       // the answer to the next takeover is slow, and then the way is cut
	isUp      bool
	machine   *lead.Machine
	isBusy    bool // an attempt at the row is under way

	stepper *dispatch.Stepper // while it leads
	lease   *lead.Lease
	isTurn  bool // a turn is under way
	hasStep bool // a turn is planned
	outputs []func()
	events  chan model.Time // of the goroutine of a turn: it waits so long; 0: it has ended
	resume  chan struct{}
}

func (x *process) start() {
	x.isUp, x.suspended, x.startedAt, x.isBusy = true, 0, x.world.now, false
	x.machine = lead.NewMachine(x.ttl, x.clock)
	x.world.trace("%s: starts", x.name)
	x.tick()
}

func (x *process) clock() time.Duration { return (x.world.now - x.startedAt).Sub(0).Std() }

// holder names this life of the process.
func (x *process) holder() string { return fmt.Sprintf("%s/%d", x.name, x.life) }

// end ends the process, whatever it does. It starts again later.
func (x *process) end(again model.Time) {
	if !x.isUp {
		return
	}
	x.world.trace("%s: ends", x.name)
	x.isUp = false
	x.life++
	x.stepper, x.lease, x.outputs, x.hasStep = nil, nil, nil, false
	if x.isTurn {
		x.isTurn = false
		x.resume <- struct{}{}
		<-x.events // its goroutine ends
	}
	x.world.planIn(again, x.start)
}

// plan has the process do something later in this life, and not while it is suspended.
func (x *process) plan(after model.Time, do func()) {
	life := x.life
	var try func()
	try = func() {
		switch {
		case x.life != life || !x.isUp:
		case x.world.now < x.suspended:
			x.world.planAt(x.suspended, try)
		default:
			do()
		}
	}
	x.world.planIn(after, try)
}

// tick does what the elector does at intervals.
func (x *process) tick() {
	x.plan(renew, x.tick)
	x.checkLease()
	switch {
	case x.isBusy:
	case x.machine.State() == lead.StandingBy:
		x.look()
	case x.lease != nil:
		x.renewLease()
	}
	x.step()
}

// attempt executes a statement at the row. done gets the time at which it began, and an
// error if there is no answer in time.
func (x *process) attempt(limit time.Duration, statement func() error, done func(began time.Duration, err error)) {
	x.isBusy = true
	began, over := x.clock(), false
	end := func(err error) {
		if !over {
			over, x.isBusy = true, false
			done(began, err)
		}
	}
	x.plan(model.Time(limit.Milliseconds()), func() { end(errors.New("no answer in time")) })
	there, back, lost := x.rowDelays()
	if limit == x.ttl && x.slowTake {
		x.slowTake, back = false, between(x.world.rowRand, 1500, int(x.ttl.Milliseconds())-100)
		x.world.forWhile(x.name+"'s way to the row is cut", &x.cutRow, 8000)
	}
	if lost == lostThere {
		return
	}
	x.world.planIn(there, func() { // what has left arrives, whatever becomes of the process
		err := statement()
		if lost != lostBack {
			x.plan(back, func() { end(err) })
		}
	})
}

// look looks at the row, and takes it if it is due.
func (x *process) look() {
	var seen repo.LeaderRow
	x.attempt(lead.Window(x.ttl), func() error {
		seen = x.world.row.LeaderRow
		return nil
	}, func(began time.Duration, err error) {
		if err == nil && x.machine.Observed(seen, began, x.clock()) {
			x.take(seen)
		}
	})
}

func (x *process) take(seen repo.LeaderRow) {
	var term int64
	x.attempt(x.ttl, func() (err error) {
		term, err = x.world.row.take(seen, x.holder(), x.ttl)
		return err
	}, func(began time.Duration, err error) {
		if x.lease = x.machine.Took(term, began, err); x.lease != nil {
			x.lead()
		}
	})
}

func (x *process) renewLease() {
	lease := x.lease
	x.attempt(lead.Window(x.ttl)/2, func() error {
		return x.world.row.renew(lease.Term(), x.holder())
	}, func(began time.Duration, err error) {
		if x.lease == lease {
			x.machine.Renewed(began, err)
			x.checkLease()
		}
	})
}

// lead serves with a loop of this term.
func (x *process) lead() {
	w := x.world
	w.counts.Terms++
	w.trace("%s: leads in term %d", x.name, x.lease.Term())
	x.stepper = dispatch.NewStepper(dispatch.Config{
		Engine: w.engine, Store: &fencedStore{w.store, x, x.lease.Term()}, Outbox: &outbox{x, x.lease.Term()},
		Connected: func() bool { return true }, Logger: slog.New(slog.DiscardHandler), Lease: x.lease,
	}, func() engine.Clock {
		return engine.Clock{Wall: epoch + w.now, Steady: w.now - x.startedAt}
	})
	x.stepper.Load(context.Background())
	x.machine.Loaded()
	x.send()
	x.step()
}

// checkLease steps down if the lease is over; a turn under way ends first.
func (x *process) checkLease() {
	if x.machine.Expired() && !x.isTurn {
		x.world.trace("%s: steps down", x.name)
		x.stepper, x.lease, x.outputs = nil, nil, nil
		x.machine.Closed()
	}
}

// resign frees the row, as a planned stop does, and ends the process.
func (x *process) resign() {
	if x.lease == nil || x.isTurn || x.isBusy || !x.lease.Held() {
		return
	}
	term := x.lease.Term()
	x.lease.End()
	x.attempt(lead.Window(x.ttl), func() error { return x.world.row.resign(term, x.holder()) }, func(time.Duration, error) { x.end(1000) })
}

// receive takes a message in. answer carries the answer; it is not called if the process
// ends before.
func (x *process) receive(ops []engine.Event, answer func([]engine.Answer)) {
	life, lease := x.life, x.lease
	if x.stepper == nil {
		return // no responders
	}
	err := x.stepper.Do(ops, func(answers []engine.Answer) {
		if x.life != life {
			return
		}
		answers = append([]engine.Answer(nil), answers...)
		x.outputs = append(x.outputs, func() {
			x.world.checkAnswer(x, lease.Term(), answers)
			answer(answers)
		})
	})
	if err != nil {
		x.world.violate("takes-in", "%s: %v", x.name, err)
	}
	x.planStep(1)
}

func (x *process) planStep(after model.Time) {
	if x.hasStep {
		return
	}
	x.hasStep = true
	x.plan(after, func() {
		x.hasStep = false
		x.step()
	})
}

// step plays one turn. It waits in the commit while the world continues.
func (x *process) step() {
	if x.stepper == nil || x.isTurn {
		return
	}
	x.isTurn = true
	stepper, again := x.stepper, false
	go func() {
		defer func() { x.events <- 0 }()
		again = stepper.Step(context.Background())
	}()
	x.await(func() {
		x.isTurn = false
		x.send()
		x.checkLease()
		if again && x.stepper != nil {
			x.hasStep = false
			x.planStep(1)
		}
	})
}

// await waits until the turn's goroutine has ended or waits itself.
func (x *process) await(ended func()) {
	wait := <-x.events
	if wait == 0 {
		ended()
		return
	}
	x.plan(wait, func() {
		x.resume <- struct{}{}
		x.await(ended)
	})
}

// send sends what the turn has put out.
func (x *process) send() {
	outs := x.outputs
	x.outputs = nil
	for _, out := range outs {
		out()
	}
}

// outbox is what leaves after a commit, in one term.
type outbox struct {
	*process
	origin int64 // the term in which it is really sent
}

func (o *outbox) Assign(name string, term int64, list []model.Assignment) {
	o.command(name, model.Command{Term: term, Assign: list})
}

func (o *outbox) Drop(name string, term int64, list []model.Drop) {
	o.command(name, model.Command{Term: term, Drop: list})
}

func (o *outbox) RequestHeartbeat(name string, term int64) {
	o.command(name, model.Command{Term: term})
}

func (o *outbox) TaskEvent(*model.TaskEvent)     {}
func (o *outbox) Progress(*model.ProgressEvent)  {}
func (o *outbox) WorkerEvent(*model.WorkerEvent) {}

func (o *outbox) command(name string, c model.Command) {
	o.outputs = append(o.outputs, func() {
		if k := o.world.workers[name]; k != nil {
			o.world.deliverCommand(func() { k.command(o.origin, &c) })
		}
	})
}
