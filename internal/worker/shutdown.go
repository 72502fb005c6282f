package worker

import (
	"context"
	"time"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// deregisterTimeout limits one try to deregister.
const deregisterTimeout = 2 * time.Second

// shutDown ends the worker's work within StopTimeout: it waits for other goroutines,
// closes the engine, moves finished files and deregisters. If the dispatcher answers, the
// tasks are given back to it. Otherwise the journal still has them, and the next start
// continues.
func (w *Worker) shutDown() {
	ctx, cancel := context.WithTimeout(context.Background(), w.cfg.StopTimeout)
	defer cancel()
	w.journal.commit(time.Now())
	w.awaitAsync(ctx)
	if w.closeEngine(ctx) {
		for _, h := range w.tasks {
			h.released, h.stuck = h.Phase == phaseMoving, false
		}
		w.awaitAsync(ctx)
	}
	if w.deregister(ctx) {
		w.removeUnfinished()
	}
	w.journal.commit(time.Now())
	w.stats.save(time.Now(), 0, w.log)
	w.log.Info("the worker has stopped", "tasks", len(w.tasks))
}

// halfRemaining returns a timer for half of the remaining time of ctx, so that the worker
// deregisters even if other work hangs.
func halfRemaining(ctx context.Context) *time.Timer {
	deadline, _ := ctx.Deadline()
	return time.NewTimer(time.Until(deadline) / 2)
}

// awaitAsync waits for the other goroutines: calls were canceled, moves are finished.
func (w *Worker) awaitAsync(ctx context.Context) {
	wait := halfRemaining(ctx)
	defer wait.Stop()
	for w.startMoves(); w.running > 0; w.startMoves() {
		select {
		case outcome := <-w.outcomes:
			w.applyOutcome(outcome)
			w.journal.commit(time.Now())
		case <-wait.C:
			w.log.Warn("the worker stops without waiting for calls that hang")
			return
		}
	}
}

// closeEngine stops the downloads; false if the engine does not stop.
func (w *Worker) closeEngine(ctx context.Context) bool {
	closed := make(chan error, 1)
	go func() { closed <- w.engine.Close() }()
	wait := halfRemaining(ctx)
	defer wait.Stop()
	select {
	case err := <-closed:
		if err != nil {
			w.log.Warn("closing the engine", "error", err)
		}
		return err == nil
	case <-wait.C:
		w.log.Warn("the engine does not stop; the worker leaves without it")
		return false
	}
}

// deregister sends heartbeats with the state "leaving" until one is answered. They list
// the finished tasks. It does not wait for an unreachable NATS server.
func (w *Worker) deregister(ctx context.Context) bool {
	w.heartbeatCursor = ""
	w.heartbeatBackoff.Reset()
	for {
		if err := w.cfg.Link.Reachable(ctx); err != nil {
			w.log.Warn("NATS is not reachable; leaving without telling the dispatcher", "error", err)
			return false
		}
		call, cancel := context.WithTimeout(ctx, deregisterTimeout)
		answer, err := w.cfg.Link.Heartbeat(call, w.heartbeat(model.StateLeaving))
		cancel()
		if err == nil && answer != nil {
			for _, ref := range answer.Forget {
				w.applyForget(ref)
			}
			return true
		}
		if model.CodeOf(err) == model.CodeConflict {
			return false // another instance has the name: no task to give back
		}
		wait := time.NewTimer(w.heartbeatBackoff.NextBackOff())
		select {
		case <-ctx.Done():
			wait.Stop()
			w.log.Warn("the dispatcher did not answer that the worker leaves", "error", err)
			return false
		case <-wait.C:
		}
	}
}

// removeUnfinished removes every unfinished task. The bytes stay for KeepOrphans: the
// task may be assigned here again.
func (w *Worker) removeUnfinished() {
	for _, h := range w.tasks {
		if h.Phase == phaseAccepted {
			if h.drop != nil && h.drop.Reason.RemovesBytes() {
				w.discardParts(h.id())
			}
			w.removeTask(h)
		}
	}
}
