package dispatch

import (
	"context"
	"errors"
	"time"

	"github.com/aria-cluster/dispatcher/pkg/engine"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// maxNotes bounds the warnings that one turn may log.
const maxNotes = 20

// loop is what the goroutine of [Dispatcher.Run] owns.
type loop struct {
	*Dispatcher
	clock  func() engine.Clock
	ticked model.Time
	more   bool // the last turn left something to place
	batch  batch
	sweep  sweep

	failures int          // commits and loads that failed in a row
	retryAt  model.Time   // on the steady clock: until then writes are refused
	refused  bool         // some were: workers may not have been heard
	trouble  *model.Error // what is said to those that are refused
	frozen   *model.Error // why nothing is written any more, see Freeze
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
			l.refuse(model.Errorf(model.CodeUnavailable, "the dispatcher stops: try again"))
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

// step takes one batch through a turn. The time is read once for the batch. The end
// of ctx ends a commit too, so only a drain has a ctx that ends.
func (l *loop) step(ctx context.Context) {
	now := l.clock()
	l.refill(now)
	if len(l.batch.events) == 0 && !l.more {
		return
	}
	if l.frozen != nil {
		l.serveReads(l.frozen)
		return
	}
	if now.Steady < l.retryAt {
		l.refused = true
		l.serveReads(l.trouble)
		return
	}
	if !l.turn.Loaded() {
		l.load(ctx)
	}
	if !l.turn.Loaded() {
		l.refuse(l.trouble)
		return
	}
	l.expire(ctx, now)
	// Whom we refused we may not blame for silence; and then nothing is placed, so
	// turn again.
	connected := l.cfg.Connected() && !l.refused
	err := l.turnOver(ctx, now, connected, l.batch.events, l.batch.parts)
	var e *model.Error
	if errors.As(err, &e) && e.Code == model.CodeInternal && len(l.batch.events) > 1 {
		l.oneByOne(ctx, now, connected)
		return
	}
	l.more = l.more || err == nil && l.refused
	l.refused = l.refused && err != nil
}

// turnOver takes events through one turn and lets out what came of it, or answers
// all of them with the failure, which it returns.
func (l *loop) turnOver(ctx context.Context, now engine.Clock, connected bool, events []engine.Event, parts []part) error {
	l.more = false
	out, err := l.turn.Do(ctx, now, connected, events)
	if err != nil {
		l.fail(ctx, err)
		var e *model.Error
		if errors.As(err, &e) && e.Code == model.CodeInternal {
			if len(events) > 1 {
				return err // the guilty one will be found, and the others done
			}
			answerAll(parts, model.Errorf(model.CodeInternal, "a bug in the dispatcher: %v", err))
			return err
		}
		answerAll(parts, l.trouble)
		return err
	}
	if l.failures > 0 && out.Committed {
		l.failures = 0
		l.cfg.Logger.Info("the store can be written again")
	}
	if l.failures == 0 {
		l.ready.Store(true)
	}
	l.more = out.More
	l.publish(out) // first: who waits for a task waits longer than who has submitted it
	answer(parts, out.Answers[len(events)-len(parts):])
	return nil
}

// oneByOne gives each operation a turn of its own: the store has refused a batch
// for what can only be a bug, and one operation's bug must not stop all others.
func (l *loop) oneByOne(ctx context.Context, now engine.Clock, connected bool) {
	skip := len(l.batch.events) - len(l.batch.parts)
	for i := range l.batch.events {
		if !l.turn.Loaded() {
			l.retryAt = 0
			l.load(ctx)
		}
		parts := l.batch.parts[max(i-skip, 0):max(i-skip+1, 0)]
		if !l.turn.Loaded() {
			answerAll(parts, l.trouble)
			continue
		}
		_ = l.turnOver(ctx, now, connected, l.batch.events[i:i+1], parts) // logged and answered there
	}
	l.retryAt = 0
}

// fail notes a failed turn. If the commit failed, whether it was written is not
// known: the engine is loaded anew, once, and writes are refused for a while.
func (l *loop) fail(ctx context.Context, err error) {
	l.cfg.Logger.Error("a turn has failed; what was asked in it is answered with an error", "err", err)
	l.trouble = unavailable(err)
	l.refused = true // what was heard in this turn too
	l.postpone()
	if !l.turn.Loaded() {
		l.load(ctx)
	}
}

// postpone refuses writes for a time that doubles from failure to failure.
func (l *loop) postpone() {
	l.ready.Store(false)
	wait := min(firstRetry<<min(l.failures, 10), lastRetry)
	l.failures++
	l.retryAt = l.clock().Steady + model.Time(wait.Milliseconds())
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
	err := l.turn.Load(ctx, l.clock())
	switch {
	case ctx.Err() != nil: // stopped meanwhile
		l.trouble = model.Errorf(model.CodeUnavailable, "the dispatcher stops: try again")
	case err != nil:
		l.trouble = model.Errorf(model.CodeUnavailable, "the store is not available now: try again")
		l.postpone()
		l.cfg.Logger.Error("the store cannot be read; trying again", "err", err)
	default:
		if l.failures == 0 {
			l.ready.Store(true)
		}
		for _, w := range l.turn.engine.Awaited() {
			l.cfg.Outbox.Nudge(w)
		}
		l.cfg.Logger.Debug("loaded the live tasks from the store", "took", time.Since(start))
	}
}

// serveReads answers the queries of the batch and refuses the rest.
func (l *loop) serveReads(why *model.Error) {
	l.more = false
	for i, p := range l.batch.parts {
		op := l.batch.events[len(l.batch.events)-len(l.batch.parts)+i]
		if isQuery(op) && l.turn.Loaded() {
			answer([]part{p}, l.turn.Query([]engine.Event{op}))
			continue
		}
		answerAll([]part{p}, why)
	}
}

func isQuery(op engine.Event) bool {
	switch op.(type) {
	case engine.QueryTasks, engine.QueryWorkers, engine.QueryStatus:
		return true
	}
	return false
}

func (l *loop) refuse(err *model.Error) { answerAll(l.batch.parts, err) }

// answer hands the answers to their calls and finishes those that are complete.
func answer(parts []part, answers []Answer) {
	for i, p := range parts {
		p.call.answers[p.at] = answers[i]
		if p.at == len(p.call.ops)-1 {
			p.call.done(p.call.answers)
		}
	}
}

func answerAll(parts []part, err *model.Error) {
	answers := make([]Answer, len(parts))
	for i := range answers {
		answers[i].Err = err
	}
	answer(parts, answers)
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
	for i, n := range out.Notes {
		if i == maxNotes {
			l.cfg.Logger.Warn("further warnings of this turn are left out", "number", len(out.Notes)-maxNotes)
			break
		}
		l.cfg.Logger.Warn(n.Text, "task", n.Task, "worker", n.Worker)
	}
}
