package dispatch

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/aria-cluster/dispatcher/internal/engine"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// maxNotes bounds the warnings that one turn may log.
const maxNotes = 20

// loop is what the goroutine of [Dispatcher.Run] owns.
type loop struct {
	*Dispatcher
	ticked  model.Time
	more    bool // the last turn left something to place
	batch   batch
	sweep   sweep
	modes   modes
	refused bool // writes were: workers may not have been heard
}

// machineClock is the clock of the machine; its steady part begins now.
func machineClock() func() engine.Clock {
	began := time.Now()
	return func() engine.Clock {
		now := time.Now()
		return engine.Clock{Wall: model.TimeOf(now), Steady: model.Time(now.Sub(began).Milliseconds())}
	}
}

// drain answers what was taken in before the stop; what it does not come to in
// time is refused.
func (l *loop) drain() {
	ctx, cancel := context.WithTimeout(context.Background(), drainTime)
	defer cancel()
	for l.inbox.waiting() {
		if ctx.Err() != nil {
			l.refill(engine.Clock{})
			l.answerAll(l.batch.parts, model.Errorf(model.CodeUnavailable, "the dispatcher stops: try again"))
			continue
		}
		l.step(ctx)
	}
}

// refill takes the next batch from the inbox, with a tick if one is due.
func (l *loop) refill(now engine.Clock) {
	clear(l.batch.events) // let go of what the last batch held
	clear(l.batch.parts)
	l.batch = batch{events: l.batch.events[:0], parts: l.batch.parts[:0], room: maxBatch}
	if now.Steady-l.ticked >= tickEvery {
		l.ticked = now.Steady
		l.batch.events = append(l.batch.events, engine.Tick{})
	}
	l.inbox.take(&l.batch)
}

// step takes one batch through a turn. Whatever panics in it ends neither the process
// nor the batch without answers.
func (l *loop) step(ctx context.Context) {
	if bug := guard(func() { l.serve(ctx) }); bug != nil {
		l.turn.drop()
		l.more = false
		l.logBug("a turn panicked; what is not answered in it is answered 500", bug)
		for _, p := range l.batch.parts {
			l.abort(p.call, errBug)
		}
	}
}

// serve is step without its guard. The time is read once for the batch. The end of
// ctx ends a commit too, so only a drain has a ctx that ends.
func (l *loop) serve(ctx context.Context) {
	now := l.clock()
	l.refill(now)
	if len(l.batch.events) == 0 && !l.more {
		return
	}
	if !l.turn.Loaded() && now.Steady >= l.modes.retryAt { // frozen, too: reads need the engine
		l.load(ctx)
	}
	switch mode, why := l.modes.at(now.Steady, l.turn.Loaded()); mode {
	case modeBackingOff:
		l.refused = true
		fallthrough
	case modeFrozen, modeLoading:
		l.serveReads(why)
		return
	}
	l.expire(ctx, now)
	// Whom we refused we may not blame for silence; and then nothing is placed, so
	// turn again.
	err := l.decide(ctx, now, l.cfg.Connected() && !l.refused)
	l.more = l.more || err == nil && l.refused
	l.refused = l.refused && err != nil
}

// decide takes the batch through a turn. An event that panics is answered 500 and
// left out; where the guilty one is not known, each event has a turn of its own.
func (l *loop) decide(ctx context.Context, now engine.Clock, connected bool) error {
	events, parts := l.batch.events, l.batch.parts
	for range maxGuilty {
		err := l.turnOver(ctx, now, connected, events, parts)
		var p *panicError
		switch {
		case errors.As(err, &p) && p.at >= 0:
			first := len(events) - len(parts)
			if at := p.at - first; at >= 0 {
				l.answerAll(parts[at:at+1], errBug)
				parts = slices.Delete(slices.Clone(parts), at, at+1)
			}
			if events = slices.Delete(slices.Clone(events), p.at, p.at+1); len(events) == 0 {
				return nil
			}
			if !l.turn.Loaded() { // the store could not be read
				l.refused = true
				l.answerAll(parts, l.modes.reason())
				return err
			}
		case isBug(err) && len(events) > 1:
			l.oneByOne(ctx, now, connected, events, parts)
			return err
		default:
			return err
		}
	}
	l.refused = true
	l.answerAll(parts, errManyBugs)
	return errManyBugs
}

// turnOver takes events through one turn and lets out what came of it, or answers
// all of them with the failure, which it returns. A failure that is a bug of one of
// several events is answered by decide.
func (l *loop) turnOver(ctx context.Context, now engine.Clock, connected bool, events []engine.Event, parts []part) error {
	l.more = false
	out, err := l.turn.Do(ctx, now, connected, events)
	if err != nil {
		l.fail(ctx, err, events)
		var p *panicError
		switch {
		case errors.As(err, &p) && p.at >= 0, isBug(err) && len(events) > 1:
		case isBug(err):
			l.answerAll(parts, errBug)
		default:
			l.answerAll(parts, l.modes.trouble)
		}
		return err
	}
	if out.Committed && l.modes.recover() {
		l.cfg.Logger.Info("the store can be written again")
	}
	if l.modes.failures == 0 {
		l.ready.Store(true)
	}
	l.more = out.More
	l.publish(out) // first: who waits for a task waits longer than who has submitted it
	l.answer(parts, out.Answers[len(events)-len(parts):])
	return nil
}

// oneByOne gives each operation a turn of its own: a batch has failed for what can
// only be a bug, and one operation's bug must not stop all others.
func (l *loop) oneByOne(ctx context.Context, now engine.Clock, connected bool, events []engine.Event, parts []part) {
	skip := len(events) - len(parts)
	for i := range events {
		if !l.turn.Loaded() {
			l.modes.retryNow()
			l.load(ctx)
		}
		own := parts[max(i-skip, 0):max(i-skip+1, 0)]
		if !l.turn.Loaded() {
			l.answerAll(own, l.modes.reason())
			continue
		}
		ev := events[i]
		if s, ok := ev.(engine.Submit); ok {
			s.Chosen = true // if the commit panicked, the task may be there already
			ev = s
		}
		err := l.turnOver(ctx, now, connected, []engine.Event{ev}, own)
		var p *panicError
		if errors.As(err, &p) && p.at >= 0 {
			l.answerAll(own, errBug)
		}
	}
	l.modes.retryNow()
}

// fail notes a failed turn. If the commit failed, whether it was written is not
// known: the engine is loaded again, once, and writes are refused for a while. An
// event that panicked says nothing about the store.
func (l *loop) fail(ctx context.Context, err error, events []engine.Event) {
	var p *panicError
	switch {
	case !errors.As(err, &p):
		l.cfg.Logger.Error("a turn has failed; what was asked in it is answered with an error", "error", err)
	case p.at >= 0:
		l.logBug("an event panicked; it is answered 500, and the engine is loaded again", p, nameOf(events[p.at])...)
	default:
		l.logBug("a turn panicked; its events are decided one by one", p, "events", len(events))
	}
	if p == nil || p.at < 0 {
		l.refused = true // what was heard in this turn too
		l.backOff(unavailable(err))
	}
	if !l.turn.Loaded() {
		l.load(ctx)
	}
}

// backOff refuses writes for a time that doubles from failure to failure.
func (l *loop) backOff(why *model.Error) {
	l.ready.Store(false)
	l.modes.backOff(l.clock().Steady, why)
}

// refusal is why writes are refused now, nil if they are not.
func (l *loop) refusal() error {
	if _, why := l.modes.at(l.clock().Steady, l.turn.Loaded()); why != nil {
		return why
	}
	return nil
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
// later and requests are refused meanwhile.
func (l *loop) load(ctx context.Context) {
	start := time.Now()
	var err error
	if bug := guard(func() { err = l.turn.Load(ctx, l.clock()) }); bug != nil {
		err = bug
	}
	switch {
	case ctx.Err() != nil: // stopped meanwhile
		l.modes.trouble = model.Errorf(model.CodeUnavailable, "the dispatcher stops: try again")
	case err != nil:
		l.backOff(model.Errorf(model.CodeUnavailable, "the store is not available now: try again"))
		l.cfg.Logger.Error("the store cannot be read; trying again", "error", err)
	default:
		if l.modes.failures == 0 {
			l.ready.Store(true)
		}
		for _, w := range l.turn.engine.Awaited() {
			l.cfg.Outbox.RequestHeartbeat(w)
		}
		l.cfg.Logger.Debug("loaded the live tasks from the store", "took", time.Since(start))
	}
}

// serveReads answers the queries of the batch and refuses the rest.
func (l *loop) serveReads(why *model.Error) {
	l.more = false
	for i, p := range l.batch.parts {
		op := l.batch.events[len(l.batch.events)-len(l.batch.parts)+i]
		if op.Traits().Query && l.turn.Loaded() {
			l.answer([]part{p}, l.turn.Query([]engine.Event{op}))
			continue
		}
		l.answerAll([]part{p}, why)
	}
}

// answer hands the answers to their calls and finishes those that are complete.
func (l *loop) answer(parts []part, answers []engine.Answer) {
	for i, p := range parts {
		p.call.answers[p.at] = answers[i]
		if p.call.answered++; p.call.answered == len(p.call.ops) {
			l.finish(p.call)
		}
	}
}

// abort finishes a call, if it is not finished, with an error for every operation.
func (l *loop) abort(c *call, err *model.Error) {
	if c.done == nil {
		return
	}
	for i := range c.answers {
		c.answers[i] = engine.Answer{Err: err}
	}
	l.finish(c)
}

// finish gives a call its answers, once. A panic there is the receiver's.
func (l *loop) finish(c *call) {
	done := c.done
	if c.done = nil; done == nil {
		return
	}
	if bug := guard(func() { done(c.answers) }); bug != nil {
		l.logBug("an answer could not be given", bug, nameOf(c.ops[0])...)
	}
}

func (l *loop) answerAll(parts []part, err *model.Error) {
	answers := make([]engine.Answer, len(parts))
	for i := range answers {
		answers[i].Err = err
	}
	l.answer(parts, answers)
}

// publish lets out what a turn says. It is committed: a panic of the outbox costs
// what was not sent yet, which the next heartbeats bring.
func (l *loop) publish(out *Outcome) {
	if bug := guard(func() { l.send(out) }); bug != nil {
		l.logBug("what a turn says could not be sent", bug)
	}
}

func (l *loop) send(out *Outcome) {
	for _, c := range out.Commands {
		if len(c.Assign) > 0 {
			l.cfg.Outbox.Assign(c.Worker, c.Assign)
		}
		if len(c.Drop) > 0 {
			l.cfg.Outbox.Drop(c.Worker, c.Drop)
		}
	}
	for i := range out.Tasks {
		l.log.task(&out.Tasks[i])
		l.cfg.Outbox.TaskEvent(&out.Tasks[i])
	}
	for i := range out.Progress {
		l.cfg.Outbox.Progress(&out.Progress[i])
	}
	for i := range out.Workers {
		l.log.worker(&out.Workers[i])
		l.cfg.Outbox.WorkerEvent(&out.Workers[i])
	}
	for _, name := range out.Ask {
		l.cfg.Outbox.RequestHeartbeat(name)
	}
	for i, n := range out.Notes {
		if i == maxNotes {
			l.cfg.Logger.Warn("further warnings of this turn are left out", "number", len(out.Notes)-maxNotes)
			break
		}
		l.cfg.Logger.Warn(n.Text, "task", n.Task, "worker", n.Worker)
	}
}
