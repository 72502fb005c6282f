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
	pollInterval         = time.Second
	idlePoll             = 5 * time.Second        // with nothing held
	minPoll              = 50 * time.Millisecond  // between two, whatever hints come
	minHeartbeatGap      = 200 * time.Millisecond // between two heartbeats
	progressInterval     = time.Second
	sweepInterval        = 10 * time.Minute
	statsInterval        = 10 * time.Second
	callTimeout          = 10 * time.Second // of one call to the dispatcher
	minHeartbeatTimeout  = 2 * time.Second  // of a heartbeat, where the interval is shorter
	reconcileTimeout     = 30 * time.Second // of all calls of one pass to the engine
	removeTimeout        = time.Second      // of one task that the engine lets go of
	removesTimeout       = 5 * time.Second  // of all of them in one pass
	engineErrorTimeout   = 2 * time.Minute  // after which a task goes elsewhere
	engineSilenceTimeout = 30 * time.Second // after which the worker says that it is in error
	warnInterval         = time.Minute      // between two logs of the same trouble
	maxMoves             = 4                // files that are moved at once
	commandBacklog       = 64               // messages; more are dropped, a heartbeat brings them again
)

// command is one message of the dispatcher; one of the two is set.
type command struct {
	assign []model.Assignment
	drop   []model.Drop
}

// loop is the state that one goroutine owns.
type loop struct {
	tasks    map[string]*heldTask
	finished finishedAttempts
	// deleted are the attempts whose finished files were deleted. That is said more
	// than once, and by then another task's file may have the name.
	filesDeleted finishedAttempts
	asyncCtx     context.Context // of what runs beside the loop

	probes   chan struct{} // see Turning
	outcomes chan func()   // what ran beside the loop, to be finished in it
	running  int           // how many of those are to come

	reconciling   bool // a pass is under way
	nextReconcile time.Time
	lastReconcile time.Time
	lastPoll      time.Time // the last one that the engine answered
	moves         int

	heartbeatRunning bool
	cancelHeartbeat  context.CancelCauseFunc // of the call under way
	lastState        model.WorkerState       // that the last heartbeat said
	nextHeartbeat    time.Time
	lastHeartbeat    time.Time
	interval         time.Duration
	seq              int64
	heartbeatCursor  string // the last id of a partial heartbeat
	admitted         bool   // the dispatcher knows this instance by this name; else it takes nothing
	nameTaken        bool   // by another instance, as the last answer said
	// early are assignments that came before the answer that admits this worker.
	earlyAssignments []model.Assignment
	heartbeatBackoff *backoff.ExponentialBackOff
	heartbeatFailing bool

	reporting     bool
	cancelReport  context.CancelCauseFunc // of the call under way
	nextReport    time.Time               // not before; after a failure
	nextRetry     time.Time               // when the next refused report is repeated; zero: there is none
	nextProgress  time.Time
	reportBackoff *backoff.ExponentialBackOff

	nextSweep time.Time
	emptying  bool

	engineLog, linkLog, conflictLog, diskLog logThrottle
}

// logThrottle is when a trouble was last logged.
type logThrottle time.Time

// warnThrottled logs a trouble that lasts, once a minute; not those that stopping
// makes.
func (w *Worker) warnThrottled(last *logThrottle, message string, args ...any) {
	now := time.Now()
	if t := time.Time(*last); w.asyncCtx.Err() != nil || !t.IsZero() && now.Sub(t) < warnInterval {
		return
	}
	*last = logThrottle(now)
	w.log.Warn(message, args...)
}

func (w *Worker) initLoop(entries []*entry) {
	w.tasks = make(map[string]*heldTask, len(entries))
	w.interval = 5 * time.Second // until the dispatcher says another
	// Everything that runs beside the loop: a heartbeat, a report, a pass, the
	// trash, the moves. None of them ever waits for the loop.
	w.outcomes = make(chan func(), 4+maxMoves)
	w.probes = make(chan struct{})
	w.heartbeatBackoff = newBackoff(250*time.Millisecond, 5*time.Second)
	w.reportBackoff = newBackoff(500*time.Millisecond, 30*time.Second)
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
	a := w.dirs[e.Task.Folder]
	if a == nil {
		a = w.dirs[""] // it is only reported
	}
	h := newHeldTask(e, a)
	if e.Phase != phaseFinished {
		w.removeBreakingHeaders(e.Task, e.Attempt)
		if no := w.checkTask(e.Task); no != nil {
			w.log.Warn("a task of the journal is given back", "task", h.id(), "attempt", h.Attempt, "reason", no.Error.Message)
			h.setFinalReport(no)
			h.rejected = true
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
			w.applyOutcome(outcome)
		case c := <-w.commands:
			w.handleCommand(c)
		case <-w.engine.Changed():
			w.scheduleReconcile()
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
	if !w.reconciling && !now.Before(w.nextReconcile) {
		w.startReconcile(now)
	}
	if !w.heartbeatRunning && !now.Before(w.nextHeartbeat) {
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
	}{{w.nextReconcile, w.reconciling}, {w.nextHeartbeat, w.heartbeatRunning}, {w.nextReport, w.reporting}, {w.nextRetry, w.reporting}} {
		if !due.busy && due.at.After(now) && due.at.Before(wake) {
			wake = due.at
		}
	}
	return wake
}

// runAsync runs work in a goroutine of its own, and what it returns in the loop.
func (w *Worker) runAsync(work func(ctx context.Context) (outcome func())) {
	w.running++
	ctx, outcomes := w.asyncCtx, w.outcomes
	go func() { outcomes <- work(ctx) }()
}

// startCall runs one call to the dispatcher beside the loop. cancel is set to what ends
// it early.
func (w *Worker) startCall(limit time.Duration, cancel *context.CancelCauseFunc, call func(ctx context.Context) (outcome func())) {
	ctx, end := context.WithCancelCause(w.asyncCtx)
	*cancel = end
	w.runAsync(func(context.Context) func() {
		defer end(nil)
		ctx, stop := context.WithTimeout(ctx, limit)
		defer stop()
		return call(ctx)
	})
}

// errCallRestarted is why a call is given up whose answer may have been lost: the
// dispatcher or NATS was away.
var errCallRestarted = errors.New("the connection or the dispatcher is new: asked again")

// restartCalls has a heartbeat sent at once, also where the answer to the last one is
// still awaited: the dispatcher has started, or NATS is back.
func (w *Worker) restartCalls() {
	if w.heartbeatRunning {
		w.cancelHeartbeat(errCallRestarted)
	}
	if w.reporting {
		w.cancelReport(errCallRestarted)
	}
	w.heartbeatBackoff.Reset()
	w.scheduleHeartbeat()
}

func (w *Worker) applyOutcome(outcome func()) {
	w.running--
	outcome()
}

// scheduleReconcile has the engine looked at next, with a pause that keeps a flood of
// hints from becoming a flood of calls.
func (w *Worker) scheduleReconcile() { w.nextReconcile = w.lastReconcile.Add(minPoll) }

// scheduleHeartbeat has a heartbeat sent next.
func (w *Worker) scheduleHeartbeat() {
	if soon := w.lastHeartbeat.Add(minHeartbeatGap); soon.Before(w.nextHeartbeat) {
		w.nextHeartbeat = soon
	}
}

// onAssign and hearDrop are called by the link. Where the loop is far behind a
// command is lost: the next heartbeat's answer has it again.
func (w *Worker) onAssign(list []model.Assignment) { w.enqueueCommand(command{assign: list}) }
func (w *Worker) onDrop(list []model.Drop)         { w.enqueueCommand(command{drop: list}) }

func (w *Worker) enqueueCommand(c command) {
	select {
	case w.commands <- c:
	default:
		w.log.Debug("a command was ignored: the worker is behind")
	}
}

func (w *Worker) handleCommand(c command) {
	if len(c.assign)+len(c.drop) == 0 {
		w.restartCalls()
	}
	w.assign(c.assign)
	for i := range c.drop {
		w.applyDrop(c.drop[i])
	}
}

// busySlots is the number of slots in use.
func (w *Worker) busySlots() int {
	n := 0
	for _, h := range w.tasks {
		if h.occupiesSlot() {
			n++
		}
	}
	return n
}

// sweep gets rid of bytes that nobody has wanted for KeepOrphans.
func (w *Worker) sweep(now time.Time) {
	w.nextSweep = now.Add(sweepInterval)
	for _, a := range w.distinctDirs() {
		gone, err := a.discardOrphans(func(id string) bool {
			h := w.tasks[id]
			return h != nil && h.dir == a
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
	dirs := w.distinctDirs()
	w.runAsync(func(context.Context) func() {
		for _, a := range dirs {
			if err := a.emptyTrash(); err != nil {
				w.log.Warn("deleting discarded files", "error", err)
			}
		}
		return func() { w.emptying = false }
	})
}

// state is what the worker says of itself, and why where it is not ready.
func (w *Worker) state(now time.Time) (state model.WorkerState, reason string) {
	if now.Sub(w.lastPoll) > engineSilenceTimeout {
		return model.StateError, fmt.Sprintf("the engine has not answered for %v", engineSilenceTimeout)
	}
	if a := w.dirs[""]; a.low {
		return model.StateDraining, fmt.Sprintf("the disk of %.200s has less than %d bytes free (worker.disk_floor)", a.path, w.cfg.DiskFloor)
	}
	return model.StateReady, ""
}
