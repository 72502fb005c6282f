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
	ticked   model.Time
	unplaced bool // the last turn left something to place
	batch    batch
	sweep    sweep
	modes    modes

	figuresAt model.Time // when the figures were taken, on the steady clock
}

// machineClock is the clock of the machine; its steady part begins now.
func machineClock() func() engine.Clock {
	began := time.Now()
	return func() engine.Clock {
		now := time.Now()
		return engine.Clock{Wall: model.TimeOf(now), Steady: model.Time(now.Sub(began).Milliseconds())}
	}
}

// drain answers what was accepted before the stop, and refuses the rest when its time is
// over.
func (l *loop) drain() {
	ctx, cancel := context.WithTimeout(context.Background(), drainTime)
	defer cancel()
	for l.inbox.waiting() {
		if ctx.Err() != nil {
			l.refill(engine.Clock{})
			l.refuse(l.batch.refs, errStopping)
			continue
		}
		l.step(ctx)
	}
}

// refill takes the next batch from the inbox, with a tick if one is due.
func (l *loop) refill(now engine.Clock) {
	clear(l.batch.events) // for the garbage collector
	clear(l.batch.refs)
	l.batch = batch{events: l.batch.events[:0], refs: l.batch.refs[:0], room: maxBatch}
	if now.Steady-l.ticked >= tickEvery {
		l.ticked = now.Steady
		l.batch.events = append(l.batch.events, engine.Tick{})
	}
	l.inbox.take(&l.batch)
}

// step takes one batch through a turn. A panic in it does not end the process, and each
// operation of the batch is answered.
func (l *loop) step(ctx context.Context) {
	start := time.Now()
	defer func() { l.cfg.Metrics.Busy(time.Since(start)) }()
	if bug := guard(func() { l.serve(ctx) }); bug != nil {
		l.turn.unload()
		l.unplaced = false
		l.logPanic("a turn panicked; its open requests are answered 500", bug)
		for _, p := range l.batch.refs {
			l.abortCall(p.call, errInternal)
		}
	}
}

// serve is step without its guard. The time is read once for the batch. The end of
// ctx ends a commit too, so only a drain has a ctx that ends.
func (l *loop) serve(ctx context.Context) {
	now := l.clock()
	l.refill(now)
	if len(l.batch.events) == 0 && !l.unplaced {
		return
	}
	if !l.cfg.Lease.Held() {
		l.depose()
	}
	if !l.turn.Loaded() && l.modes.mayLoad(now.Steady) { // frozen, too: reads need the engine
		l.load(ctx)
	}
	switch mode, why := l.modes.at(now.Steady, l.turn.Loaded()); mode {
	case modeBackingOff:
		l.modes.noteRefused()
		fallthrough
	case modeFrozen, modeLoading, modeDeposed:
		l.serveReads(why)
		return
	}
	l.addExpired(ctx, now)
	// Workers that were refused are not silent; nothing is placed then, so turn again.
	err := l.decide(ctx, now, l.cfg.Connected() && !l.modes.unheard)
	l.unplaced = l.modes.noteTurn(err) || l.unplaced
	l.noteFigures(now)
}

// decide takes the batch through a turn. An event that panics is answered 500 and
// left out; where the guilty one is not known, each event has a turn of its own.
func (l *loop) decide(ctx context.Context, now engine.Clock, connected bool) error {
	events, refs := l.batch.events, l.batch.refs
	for range maxPanics {
		err := l.executeTurn(ctx, now, connected, events, refs)
		guilty := panickedAt(err)
		switch {
		case guilty >= 0:
			first := len(events) - len(refs)
			if at := guilty - first; at >= 0 {
				l.refuse(refs[at:at+1], errInternal)
				refs = slices.Delete(slices.Clone(refs), at, at+1)
			}
			if events = slices.Delete(slices.Clone(events), guilty, guilty+1); len(events) == 0 {
				return nil
			}
			if !l.turn.Loaded() { // the store could not be read
				l.modes.noteRefused()
				l.refuse(refs, l.modes.reason())
				return err
			}
		case isBug(err) && len(events) > 1:
			l.executeEach(ctx, now, connected, events, refs)
			return err
		default:
			return err
		}
	}
	l.modes.noteRefused()
	l.refuse(refs, errTooManyPanics)
	return errTooManyPanics
}

// executeTurn takes events through one turn and sends its results, or answers all of them
// with the failure, which it returns. A failure that is a bug of one of
// several events is answered by decide.
func (l *loop) executeTurn(ctx context.Context, now engine.Clock, connected bool, events []engine.Event, refs []opRef) error {
	l.unplaced = false
	start := time.Now()
	defer func() { l.cfg.Metrics.Turn(time.Since(start), len(events)) }()
	out, err := l.turn.Do(ctx, now, connected, events)
	if err != nil {
		l.fail(ctx, err, events)
		switch {
		case panickedAt(err) >= 0, isBug(err) && len(events) > 1:
		case isBug(err):
			l.refuse(refs, errInternal)
		default:
			l.refuse(refs, l.modes.reason())
		}
		return err
	}
	if out.Committed && l.modes.noteWritten() {
		l.cfg.Logger.Info("the store can be written again")
	}
	if l.modes.isHealthy() {
		l.ready.Store(true)
	}
	l.unplaced = out.More
	l.cfg.Metrics.Facts(out.Facts)
	l.publish(out) // first: an assignment is more urgent than the answer to a submit
	l.answer(refs, out.Answers[len(events)-len(refs):])
	return nil
}

// executeEach gives each operation a turn of its own: a batch has failed for what can
// only be a bug, and one operation's bug must not stop all others.
func (l *loop) executeEach(ctx context.Context, now engine.Clock, connected bool, events []engine.Event, refs []opRef) {
	skip := len(events) - len(refs)
	for i := range events {
		if !l.turn.Loaded() {
			l.modes.endBackoff()
			l.load(ctx)
		}
		own := refs[max(i-skip, 0):max(i-skip+1, 0)]
		if !l.turn.Loaded() {
			l.refuse(own, l.modes.reason())
			continue
		}
		ev := events[i]
		if s, ok := ev.(engine.Submit); ok {
			s.Chosen = true // if the commit panicked, the task may be there already
			ev = s
		}
		err := l.executeTurn(ctx, now, connected, []engine.Event{ev}, own)
		if panickedAt(err) >= 0 {
			l.refuse(own, errInternal)
		}
	}
	l.modes.endBackoff()
}

// fail notes a failed turn. If the commit failed, whether it was written is not
// known: the engine is loaded again, once, and writes are refused for a while. An
// event that panicked tells nothing about the store. After the end of the lease nothing
// is loaded: another dispatcher may write.
func (l *loop) fail(ctx context.Context, err error, events []engine.Event) {
	if !l.cfg.Lease.Held() {
		l.depose()
		return
	}
	var p *panicError
	switch {
	case !errors.As(err, &p):
		l.cfg.Logger.Error("a turn failed; its requests are answered with an error", "error", err)
	case p.at >= 0:
		l.logPanic("an event panicked; it is answered 500, and the engine is loaded again", p, nameOf(events[p.at])...)
	default:
		l.logPanic("a turn panicked; its events are decided one by one", p, "events", len(events))
	}
	if p == nil || p.at < 0 {
		l.modes.noteRefused() // heartbeats of this turn too
		l.backOff(unavailable(err))
	}
	if !l.turn.Loaded() {
		l.load(ctx)
	}
}

// depose ends the service: another dispatcher may lead. It is done once.
func (l *loop) depose() {
	if l.modes.deposed {
		return
	}
	l.ready.Store(false)
	l.turn.unload() // queries would be answered from it
	l.modes.depose()
	l.cfg.Logger.Warn("this dispatcher no longer leads; every request is refused", "term", l.cfg.Lease.Term())
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

// unavailable is the answer to requests of a failed turn: the store's own
// sentence where it has one.
func unavailable(err error) *model.Error {
	var e *model.Error
	if errors.As(err, &e) && e.Code == model.CodeUnavailable {
		return e
	}
	return model.Errorf(model.CodeUnavailable, "the store could not be written: whether this was done is not known; try again")
}

// unreadable is the answer to requests while the engine cannot be loaded.
func unreadable(err error) *model.Error {
	reason := ""
	var e *model.Error
	if errors.As(err, &e) && e.Code == model.CodeUnavailable {
		reason = ": " + e.Message
	}
	return model.Errorf(model.CodeUnavailable,
		"the dispatcher cannot read its store%s; it tries again, at the latest after %v, and answers when that succeeds: repeat the request then", reason, lastRetry)
}

// load builds the engine from the store. If that fails, step tries again later, and
// requests are refused meanwhile.
func (l *loop) load(ctx context.Context) {
	start := time.Now()
	var err error
	if bug := guard(func() { err = l.readStore(ctx) }); bug != nil {
		err = bug
	}
	switch {
	case ctx.Err() != nil: // stopped meanwhile
		l.modes.stop()
	case !l.cfg.Lease.Held():
		l.depose()
	case err != nil:
		l.backOff(unreadable(err))
		l.cfg.Logger.Error("the store cannot be read; trying again", "error", err)
	default:
		l.loads.Add(1)
		if l.modes.isHealthy() {
			l.ready.Store(true)
		}
		for _, w := range l.turn.engine.UnconfirmedWorkers() {
			l.cfg.Outbox.RequestHeartbeat(w, l.cfg.Lease.Term())
		}
		l.noteFigures(l.clock())
		l.cfg.Logger.Debug("loaded the live tasks from the store", "took", time.Since(start))
	}
}

// serveReads answers the queries of the batch and refuses the rest.
func (l *loop) serveReads(why *model.Error) {
	l.unplaced = false
	for i, p := range l.batch.refs {
		op := l.batch.events[len(l.batch.events)-len(l.batch.refs)+i]
		if op.Traits().Query {
			if answers, ok := l.turn.Query([]engine.Event{op}); ok {
				l.answer([]opRef{p}, answers)
				continue
			}
		}
		l.refuse([]opRef{p}, why)
	}
}

// answer hands the answers to their calls and finishes those that are complete.
func (l *loop) answer(refs []opRef, answers []engine.Answer) {
	for i, p := range refs {
		l.countRejected(p.call.ops[p.at], answers[i].Err)
		p.call.answers[p.at] = answers[i]
		if p.call.answered++; p.call.answered == len(p.call.ops) {
			l.finishCall(p.call)
		}
	}
}

// abortCall finishes a call, if it is not finished, with an error for every operation.
func (l *loop) abortCall(c *call, err *model.Error) {
	if c.done == nil {
		return
	}
	for i := range c.answers {
		c.answers[i] = engine.Answer{Err: err}
	}
	l.finishCall(c)
}

// finishCall gives a call its answers, once. A panic there is the receiver's.
func (l *loop) finishCall(c *call) {
	done := c.done
	if c.done = nil; done == nil {
		return
	}
	if bug := guard(func() { done(c.answers) }); bug != nil {
		l.logPanic("an answer could not be delivered", bug, nameOf(c.ops[0])...)
	}
}

func (l *loop) refuse(refs []opRef, err *model.Error) {
	answers := make([]engine.Answer, len(refs))
	for i := range answers {
		answers[i].Err = err
	}
	l.answer(refs, answers)
}

// publish sends the messages of a turn. It is committed: a panic of the outbox costs
// what was not sent yet, which the next heartbeats bring.
func (l *loop) publish(out *Outcome) {
	if bug := guard(func() { l.send(out) }); bug != nil {
		l.logPanic("the messages of a turn could not be sent", bug)
	}
}

func (l *loop) send(out *Outcome) {
	term := l.cfg.Lease.Term()
	for _, c := range out.Commands {
		if len(c.Assign) > 0 {
			l.cfg.Outbox.Assign(c.Worker, term, c.Assign)
		}
		if len(c.Drop) > 0 {
			l.cfg.Outbox.Drop(c.Worker, term, c.Drop)
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
		l.cfg.Outbox.RequestHeartbeat(name, term)
	}
	for i, n := range out.Notes {
		if i == maxNotes {
			l.cfg.Logger.Warn("further warnings of this turn are suppressed", "number", len(out.Notes)-maxNotes)
			break
		}
		l.cfg.Logger.Warn(n.Text, "task", n.Task, "worker", n.Worker)
	}
}
