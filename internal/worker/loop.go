package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/aria-cluster/dispatcher/internal/logthrottle"
	"github.com/aria-cluster/dispatcher/internal/worker/download"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

const (
	pollInterval         = time.Second
	measureInterval      = pollInterval / 2       // between two measurements of free space
	idlePoll             = 5 * time.Second        // with nothing held
	minPoll              = time.Millisecond       // between two passes, with any number of hints
	maxPoll              = 10 * time.Millisecond  // the same, with an engine that answers slowly
	pollShare            = 3                      // a pass is not followed by another for so many times its duration
	minHeartbeatGap      = 200 * time.Millisecond // between two heartbeats
	progressInterval     = time.Second
	sweepInterval        = 10 * time.Minute
	statsInterval        = 10 * time.Second
	callTimeout          = 10 * time.Second      // of one call to the dispatcher
	minHeartbeatTimeout  = 2 * time.Second       // of a heartbeat, where the interval is shorter
	reconcileTimeout     = 30 * time.Second      // of all calls of one pass to the engine
	removeTimeout        = time.Second           // for the removal of one job from the engine
	removesTimeout       = 5 * time.Second       // for all removals of one pass
	engineErrorTimeout   = 2 * time.Minute       // after which a task goes elsewhere
	engineSilenceTimeout = 30 * time.Second      // after which the worker reports the state "error"
	warnInterval         = time.Minute           // between two warnings about the same failure
	maxMoves             = 16                    // tasks whose files are moved at once
	announceAfter        = 50 * time.Millisecond // a shorter download is reported at its end only
	commandBacklog       = 64                    // commands; more are dropped, and the next heartbeat answer repeats them
)

// loop is the state that one goroutine owns.
type loop struct {
	tasks    map[string]*heldTask
	arrivals int64 // of queued tasks
	finished finishedAttempts
	// filesDeleted has the attempts whose finished files were deleted. The command may be
	// repeated after another task's file has taken the name.
	filesDeleted finishedAttempts
	asyncCtx     context.Context // of the work in other goroutines

	probes   chan struct{} // see Turning
	outcomes chan func()   // of the work in other goroutines, applied by the loop
	running  int           // outcomes that are still expected

	reconciling   bool // a pass is under way
	nextReconcile time.Time
	lastReconcile time.Time
	lastCommit    time.Time     // of records that must survive a crash
	nextCommit    time.Time     // of those that wait; zero: none waits
	lastMeasured  time.Time     // the last measurement of free space
	pollGap       time.Duration // between the beginnings of two passes
	lastPoll      time.Time     // the last one that the engine answered
	moves         int

	heartbeatRunning bool
	cancelHeartbeat  context.CancelCauseFunc // of the call under way
	lastState        model.WorkerState       // in the last heartbeat
	nextHeartbeat    time.Time
	lastHeartbeat    time.Time
	interval         time.Duration
	seq              int64
	heartbeatCursor  string            // the last id of a partial heartbeat
	term             model.HighestTerm // of a leader; see checkTerm
	storedTerm       model.HighestTerm // the same, on the disk
	admitted         bool              // the dispatcher knows this instance; without that it accepts no task
	nameTaken        bool              // another instance has the name, by the last answer
	// earlyAssignments arrived before the answer that admits this worker.
	earlyAssignments []model.Assignment
	heartbeatBackoff *backoff.ExponentialBackOff
	heartbeatFailing bool

	reporting     bool
	cancelReport  context.CancelCauseFunc // of the call under way
	nextReport    time.Time               // not before; after a failure
	nextRetry     time.Time               // when the next refused report is repeated; zero: never
	nextStart     time.Time               // when the next start is reported; zero: never
	nextProgress  time.Time
	reportBackoff *backoff.ExponentialBackOff

	nextSweep time.Time
	emptying  bool

	engineLog, linkLog, conflictLog, diskLog, termLog logthrottle.Throttle
}

// warnThrottled logs a lasting failure once a minute. It logs nothing while the worker
// stops.
func (w *Worker) warnThrottled(limit *logthrottle.Throttle, message string, args ...any) {
	if w.asyncCtx.Err() == nil {
		limit.Log(w.log, slog.LevelWarn, message, args...)
	}
}

func (w *Worker) initLoop(entries []*entry) {
	w.tasks = make(map[string]*heldTask, len(entries))
	w.interval = 5 * time.Second // until the dispatcher says another
	// One slot for each goroutine beside the loop: a heartbeat, a report, a
	// reconciliation, the trash, the moves. So none of them waits for the loop.
	w.outcomes = make(chan func(), 4+maxMoves)
	w.probes = make(chan struct{})
	for _, limit := range []*logthrottle.Throttle{&w.engineLog, &w.linkLog, &w.conflictLog, &w.diskLog, &w.termLog} {
		limit.Quiet = warnInterval
	}
	w.heartbeatBackoff = download.NewBackoff(250*time.Millisecond, 5*time.Second)
	w.reportBackoff = download.NewBackoff(500*time.Millisecond, 30*time.Second)
	for _, e := range entries {
		w.recover(e)
	}
	w.recoverQueue()
}

// recover restores a task from the journal. A task that the configuration no longer
// allows is given back to the dispatcher.
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
		w.handleWaiting()
		w.commit(time.Now()) // before step acts on what was handled
		timer.Reset(time.Until(w.step(time.Now())))
		w.noteUsed()
	}
}

// maxTurn bounds how many events one turn of the loop handles.
const maxTurn = 256

// handleWaiting handles the events that wait already, so that their records in the
// journal share one sync.
func (w *Worker) handleWaiting() {
	for range maxTurn {
		select {
		case outcome := <-w.outcomes:
			w.applyOutcome(outcome)
		case c := <-w.commands:
			w.handleCommand(c)
		default:
			return
		}
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

// The time between two syncs of one file is gatherTime for each task under way, at most
// maxGather: with one task nothing else could join, with many most do. When a gatherShare
// of the tasks waits for a sync, it begins at once.
const (
	gatherTime  = 940 * time.Microsecond
	maxGather   = 15 * time.Millisecond
	gatherShare = 2
)

// gathering is how long a sync waits for tasks to join, and for how many.
type gathering struct {
	time  time.Duration
	tasks int
}

func (w *Worker) gathering() gathering {
	begun := w.usage().begun
	return gathering{min(time.Duration(begun)*gatherTime, maxGather), (begun + gatherShare - 1) / gatherShare}
}

// commit writes what was handled to the journal. Records that must survive a crash wait for
// others, so that they share a sync, if the last one was just before.
func (w *Worker) commit(now time.Time) {
	w.nextCommit = time.Time{}
	if waiting := w.journal.waitForSync(); waiting > 0 {
		g := w.gathering()
		if due := w.lastCommit.Add(g.time); now.Before(due) && waiting < g.tasks {
			w.nextCommit = due
			w.journal.commitUnsynced(now)
			return
		}
		w.lastCommit = now
	}
	w.journal.commit(now)
}

// step starts the work that is due and returns the time of the next step.
func (w *Worker) step(now time.Time) time.Time {
	w.startMoves()
	w.beginQueued()
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
	if !w.nextCommit.IsZero() {
		wake = w.nextCommit
	}
	for _, due := range []struct {
		at   time.Time
		busy bool
	}{{w.nextReconcile, w.reconciling}, {w.nextHeartbeat, w.heartbeatRunning}, {w.nextReport, w.reporting}, {w.nextRetry, w.reporting}, {w.nextStart, w.reporting}} {
		if !due.busy && due.at.After(now) && due.at.Before(wake) {
			wake = due.at
		}
	}
	return wake
}

// runAsync runs work in a goroutine, and the function that it returns in the loop.
func (w *Worker) runAsync(work func(ctx context.Context) (outcome func())) {
	w.running++
	ctx, outcomes := w.asyncCtx, w.outcomes
	go func() { outcomes <- work(ctx) }()
}

// startCall runs one call to the dispatcher in a goroutine. It sets cancel to the
// function that ends the call early.
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

// errCallRestarted cancels a call whose answer may be lost because the dispatcher or NATS
// was unavailable.
var errCallRestarted = errors.New("the connection or the dispatcher is new: asked again")

// restartCalls cancels the running calls and sends a heartbeat at once: the dispatcher
// has started, or NATS is back.
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

// scheduleReconcile makes a reconciliation due. The pause between two limits the calls to
// the engine.
func (w *Worker) scheduleReconcile() { w.nextReconcile = w.lastReconcile.Add(w.pollGap) }

// scheduleHeartbeat makes a heartbeat due.
func (w *Worker) scheduleHeartbeat() {
	if soon := w.lastHeartbeat.Add(minHeartbeatGap); soon.Before(w.nextHeartbeat) {
		w.nextHeartbeat = soon
	}
}

// onReconnected is called by the link.
func (w *Worker) onReconnected() { w.onCommand(nil) }

// onCommand is called by the link; nil stands for a new connection. If the loop is far
// behind, a command is lost: the next heartbeat answer repeats it.
func (w *Worker) onCommand(c *model.Command) {
	select {
	case w.commands <- c:
	default:
		w.log.Debug("a command was ignored: the worker is behind")
	}
}

func (w *Worker) handleCommand(c *model.Command) {
	if c == nil {
		w.restartCalls()
		return
	}
	if err := w.checkTerm(c.Term); err != nil {
		w.warnThrottled(&w.linkLog, "a command was ignored", "error", err)
		return
	}
	if len(c.Assign)+len(c.Drop) == 0 {
		w.restartCalls()
	}
	w.assign(c.Assign)
	for i := range c.Drop {
		w.applyDrop(c.Drop[i])
	}
}

// sweep removes the bytes of tasks that have not been held for KeepOrphans.
func (w *Worker) sweep(now time.Time) {
	w.nextSweep = now.Add(sweepInterval)
	for _, a := range w.distinctDirs() {
		gone, err := a.discardOrphans(func(id string) bool {
			h := w.tasks[id]
			return h != nil && h.dir == a
		}, now.Add(-w.cfg.KeepOrphans))
		for _, id := range gone {
			w.log.Info("orphaned bytes were removed", "task", id)
		}
		if err != nil {
			w.log.Warn("looking for orphaned bytes", "error", err)
		}
	}
	w.emptyTrash()
}

// emptyTrash deletes the discarded files in a goroutine, because there may be many.
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

// state returns the state of the worker, with the reason if it is not ready.
func (w *Worker) state(now time.Time) (state model.WorkerState, reason string) {
	if now.Sub(w.lastPoll) > engineSilenceTimeout {
		return model.StateError, fmt.Sprintf("the engine has not answered for %v", engineSilenceTimeout)
	}
	if a := w.dirs[""]; a.low {
		return model.StateDraining, fmt.Sprintf("the disk of %.200s has less than %d bytes free (worker.disk_floor)", a.path, w.cfg.DiskFloor)
	}
	return model.StateReady, ""
}
