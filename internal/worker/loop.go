package worker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

const (
	pollInterval     = time.Second
	idlePoll         = 5 * time.Second        // with nothing held
	minPoll          = 50 * time.Millisecond  // between two, whatever hints come
	minBeat          = 200 * time.Millisecond // between two heartbeats
	progressInterval = time.Second
	sweepInterval    = 10 * time.Minute
	statsInterval    = 10 * time.Second
	callTimeout      = 10 * time.Second // of one call to the dispatcher
	minBeatTimeout   = 2 * time.Second  // of a heartbeat, where the interval is shorter
	passTimeout      = 30 * time.Second // of all calls of one pass to the engine
	removeTimeout    = time.Second      // of one task that the engine lets go of
	removesTimeout   = 5 * time.Second  // of all of them in one pass
	enginePatience   = 2 * time.Minute  // after which a task goes elsewhere
	engineSilence    = 30 * time.Second // after which the worker says that it is in error
	quiet            = time.Minute      // between two logs of the same trouble
	maxMoves         = 4                // files that are moved at once
	commandBacklog   = 64               // messages; more are dropped, a heartbeat brings them again
)

// command is one message of the dispatcher; one of the two is set.
type command struct {
	assign []model.Assignment
	drop   []model.Drop
}

// loop is the state that one goroutine owns.
type loop struct {
	tasks map[string]*held
	ended ended
	// deleted are the attempts whose finished files were deleted. That is said more
	// than once, and by then another task's file may have the name.
	deleted ended
	side    context.Context // of what runs beside the loop

	probes   chan struct{} // see Turning
	outcomes chan func()   // what ran beside the loop, to be finished in it
	running  int           // how many of those are to come

	passing  bool // a pass is under way
	nextPass time.Time
	lastPass time.Time
	lastPoll time.Time // the last one that the engine answered
	moves    int

	beating    bool
	cancelBeat context.CancelCauseFunc // of the call under way
	lastState  model.WorkerState       // that the last heartbeat said
	nextBeat   time.Time
	lastBeat   time.Time
	interval   time.Duration
	seq        int64
	beatCursor string // the last id of a partial heartbeat
	admitted   bool   // the dispatcher knows this instance by this name; else it takes nothing
	nameTaken  bool   // by another instance, as the last answer said
	// early are assignments that came before the answer that admits this worker.
	early     []model.Assignment
	beatWait  *backoff.ExponentialBackOff
	beatsFail bool

	reporting    bool
	cancelReport context.CancelCauseFunc // of the call under way
	nextReport   time.Time               // not before; after a failure
	nextRetry    time.Time               // when the next refused report is repeated; zero: there is none
	nextProgress time.Time
	reportWait   *backoff.ExponentialBackOff

	nextSweep time.Time
	emptying  bool

	engineLog, linkLog, conflictLog, diskLog rarely
}

// rarely is when a trouble was last logged.
type rarely time.Time

// complain logs a trouble that lasts, once a minute; not those that stopping
// makes.
func (w *Worker) complain(last *rarely, message string, args ...any) {
	now := time.Now()
	if t := time.Time(*last); w.side.Err() != nil || !t.IsZero() && now.Sub(t) < quiet {
		return
	}
	*last = rarely(now)
	w.log.Warn(message, args...)
}

func (w *Worker) initLoop(entries []*entry) {
	w.tasks = make(map[string]*held, len(entries))
	w.interval = 5 * time.Second // until the dispatcher says another
	// Everything that runs beside the loop: a heartbeat, a report, a pass, the
	// trash, the moves. None of them ever waits for the loop.
	w.outcomes = make(chan func(), 4+maxMoves)
	w.probes = make(chan struct{})
	w.beatWait = newBackoff(250*time.Millisecond, 5*time.Second)
	w.reportWait = newBackoff(500*time.Millisecond, 30*time.Second)
	for _, e := range entries {
		w.recover(e)
	}
}

func newBackoff(first, most time.Duration) *backoff.ExponentialBackOff {
	b := backoff.NewExponentialBackOff()
	b.InitialInterval, b.MaxInterval, b.Multiplier = first, most, 2
	return b
}

// recover takes up a task of an earlier life. What the configuration no longer
// allows goes back to the dispatcher.
func (w *Worker) recover(e *entry) {
	a := w.areas[e.Task.Folder]
	if a == nil {
		a = w.areas[""] // it is only reported
	}
	h := newHeld(e, a)
	if e.Phase != phaseFinished {
		w.removeBreakingHeaders(e.Task, e.Attempt)
		if no := w.refuse(e.Task); no != nil {
			w.log.Warn("a task of the journal is given back", "task", h.id(), "attempt", h.Attempt, "reason", no.Error.Message)
			h.end(no)
			h.refused = true
		}
	}
	w.tasks[h.id()] = h
}

// run is the loop; it returns when ctx ends.
func (w *Worker) run(ctx context.Context) {
	w.lastPoll = time.Now()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case outcome := <-w.outcomes:
			w.settleOutcome(outcome)
		case c := <-w.commands:
			w.obey(c)
		case <-w.engine.Changed():
			w.passSoon()
		case <-w.probes:
		}
		timer.Reset(time.Until(w.step(time.Now())))
	}
}

// Turning returns nil once the worker's loop has answered, ctx's error if that ends
// first. A watchdog asks it: a loop that hangs does not answer, nor does one that
// has not begun or has ended.
func (w *Worker) Turning(ctx context.Context) error {
	select {
	case w.probes <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// step starts whatever is due and returns when to look again.
func (w *Worker) step(now time.Time) time.Time {
	w.startMoves()
	if !w.passing && !now.Before(w.nextPass) {
		w.startPass(now)
	}
	if !w.beating && !now.Before(w.nextBeat) {
		w.startHeartbeat(now)
	}
	if w.admitted && !w.reporting && !now.Before(w.nextReport) {
		w.startReport(now)
	}
	if !now.Before(w.nextSweep) {
		w.sweep(now)
	}
	w.stats.save(now, statsInterval, w.log)

	wake := now.Add(progressInterval)
	for _, due := range []struct {
		at   time.Time
		busy bool
	}{{w.nextPass, w.passing}, {w.nextBeat, w.beating}, {w.nextReport, w.reporting}, {w.nextRetry, w.reporting}} {
		if !due.busy && due.at.After(now) && due.at.Before(wake) {
			wake = due.at
		}
	}
	return wake
}

// beside runs work in a goroutine of its own, and what it returns in the loop.
func (w *Worker) beside(work func(ctx context.Context) (outcome func())) {
	w.running++
	ctx, outcomes := w.side, w.outcomes
	go func() { outcomes <- work(ctx) }()
}

// startCall runs one call to the dispatcher beside the loop. cancel is set to what ends
// it early.
func (w *Worker) startCall(limit time.Duration, cancel *context.CancelCauseFunc, call func(ctx context.Context) (outcome func())) {
	ctx, end := context.WithCancelCause(w.side)
	*cancel = end
	w.beside(func(context.Context) func() {
		defer end(nil)
		ctx, stop := context.WithTimeout(ctx, limit)
		defer stop()
		return call(ctx)
	})
}

// errRenewed is why a call is given up whose answer may have been lost: the dispatcher
// or NATS was away.
var errRenewed = errors.New("the connection or the dispatcher is new: asked again")

// renew has a heartbeat sent at once, also where the answer to the last one is still
// awaited: the dispatcher has started, or NATS is back.
func (w *Worker) renew() {
	if w.beating {
		w.cancelBeat(errRenewed)
	}
	if w.reporting {
		w.cancelReport(errRenewed)
	}
	w.beatWait.Reset()
	w.beatSoon()
}

func (w *Worker) settleOutcome(outcome func()) {
	w.running--
	outcome()
}

// passSoon has the engine looked at next, with a pause that keeps a flood of hints
// from becoming a flood of calls.
func (w *Worker) passSoon() { w.nextPass = w.lastPass.Add(minPoll) }

// beatSoon has a heartbeat sent next.
func (w *Worker) beatSoon() {
	if soon := w.lastBeat.Add(minBeat); soon.Before(w.nextBeat) {
		w.nextBeat = soon
	}
}

// hearAssign and hearDrop are called by the link. Where the loop is far behind a
// command is lost: the next heartbeat's answer has it again.
func (w *Worker) hearAssign(list []model.Assignment) { w.hear(command{assign: list}) }
func (w *Worker) hearDrop(list []model.Drop)         { w.hear(command{drop: list}) }

func (w *Worker) hear(c command) {
	select {
	case w.commands <- c:
	default:
		w.log.Debug("a command was ignored: the worker is behind")
	}
}

func (w *Worker) obey(c command) {
	if len(c.assign)+len(c.drop) == 0 {
		w.renew()
	}
	w.take(c.assign)
	for i := range c.drop {
		w.drop(c.drop[i])
	}
}

// busySlots is the number of slots in use.
func (w *Worker) busySlots() int {
	n := 0
	for _, h := range w.tasks {
		if h.busy() {
			n++
		}
	}
	return n
}

// sweep gets rid of bytes that nobody has wanted for KeepOrphans.
func (w *Worker) sweep(now time.Time) {
	w.nextSweep = now.Add(sweepInterval)
	for _, a := range w.distinctAreas() {
		gone, err := a.discardOrphans(func(id string) bool {
			h := w.tasks[id]
			return h != nil && h.area == a
		}, now.Add(-w.cfg.KeepOrphans))
		for _, id := range gone {
			w.log.Info("bytes that nobody came back for were removed", "task", id)
		}
		if err != nil {
			w.log.Warn("looking for bytes that nobody wants", "error", err)
		}
	}
	w.emptyTrash()
}

// emptyTrash deletes what was discarded, beside the loop: it may be much.
func (w *Worker) emptyTrash() {
	if w.emptying {
		return
	}
	w.emptying = true
	areas := w.distinctAreas()
	w.beside(func(context.Context) func() {
		for _, a := range areas {
			if err := a.emptyTrash(); err != nil {
				w.log.Warn("deleting discarded files", "error", err)
			}
		}
		return func() { w.emptying = false }
	})
}

// state is what the worker says of itself, and why where it is not ready.
func (w *Worker) state(now time.Time) (state model.WorkerState, reason string) {
	if now.Sub(w.lastPoll) > engineSilence {
		return model.StateError, fmt.Sprintf("the engine has not answered for %v", engineSilence)
	}
	if a := w.areas[""]; a.low {
		return model.StateDraining, fmt.Sprintf("the disk of %.200s has less than %d bytes free (worker.disk_floor)", a.path, w.cfg.DiskFloor)
	}
	return model.StateReady, ""
}
