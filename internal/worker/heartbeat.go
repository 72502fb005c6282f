package worker

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// The bounds of the heartbeat interval that the dispatcher sets.
const (
	minHeartbeatInterval = 200 * time.Millisecond
	maxHeartbeatInterval = 300 * time.Second
)

// startHeartbeat sends a heartbeat. A worker with more tasks than fit into one message
// sends several in a row, so that each interval lists every task.
func (w *Worker) startHeartbeat(now time.Time) {
	state, reason := w.state(now)
	w.lastState = state
	h := w.heartbeat(state)
	h.StateReason = reason
	w.heartbeatRunning, w.lastHeartbeat = true, now
	w.nextHeartbeat = now.Add(w.interval)
	// A lost answer must not delay the next heartbeat for longer than the dispatcher's
	// heartbeat_timeout, which may be shorter than callTimeout.
	limit := min(max(w.interval, minHeartbeatTimeout), callTimeout)
	w.startCall(limit, &w.cancelHeartbeat, func(ctx context.Context) func() {
		listed := len(h.Tasks)
		answer, err := w.cfg.Link.Heartbeat(ctx, h)
		if err != nil && errors.Is(context.Cause(ctx), errCallRestarted) {
			err = errCallRestarted
		}
		return func() {
			if n := len(h.Tasks); 0 < n && n < listed {
				w.heartbeatCursor = h.Tasks[n-1].ID // the link sent only the first n; the next heartbeat lists the others
			}
			w.applyAnswer(answer, err)
		}
	})
}

func (w *Worker) heartbeat(state model.WorkerState) *model.Heartbeat {
	w.seq++
	h := &model.Heartbeat{
		WorkerID: w.cfg.Name, Instance: w.instance, Epoch: w.epoch, Seq: w.seq, State: state, Version: w.cfg.Version,
		Hostname: w.cfg.Hostname, Address: w.cfg.Address, Dir: w.dirs[""].path, TotalSlots: w.cfg.Slots, Prefetch: w.cfg.Prefetch,
		Capabilities:     w.engine.Capabilities(),
		PerformanceStats: w.stats.performance(),
	}
	h.Capabilities.Tags = w.cfg.Tags
	h.Capabilities.Folders = slices.Sorted(maps.Keys(w.cfg.Folders))
	if s := w.health.Load(); s != nil {
		h.HealthMetrics = s.metrics
		h.Capabilities.DiskSpace = s.diskSpace
	}
	h.HealthMetrics.SuccessCount, h.HealthMetrics.ErrorCount = w.stats.completed, w.stats.faults
	h.Tasks, h.Partial = w.listTasks(state)
	return h
}

// listTasks lists the held tasks, from the end of the last partial list. A worker that
// shuts down lists only its finished tasks: it gives the other ones back.
func (w *Worker) listTasks(state model.WorkerState) (list []model.Report, partial bool) {
	list = []model.Report{} // never null
	cursor := w.heartbeatCursor
	w.heartbeatCursor = ""
	bytes := 0
	for _, id := range slices.Sorted(maps.Keys(w.tasks)) {
		h := w.tasks[id]
		if id <= cursor || state == model.StateLeaving && h.Phase != phaseFinished {
			continue
		}
		bytes += estimatedSize(&h.report)
		if len(list) == model.MaxBatch || len(list) > 0 && bytes > maxBody {
			w.heartbeatCursor = list[len(list)-1].ID
			return list, true
		}
		list = append(list, h.report)
	}
	return list, cursor != ""
}

// applyAnswer applies the answer of the dispatcher.
func (w *Worker) applyAnswer(a *model.HeartbeatAnswer, err error) {
	now := time.Now()
	w.heartbeatRunning = false
	if err == nil && a != nil {
		err = w.checkTerm(a.Term)
	}
	if err != nil || a == nil {
		w.noteUnanswered(err, now)
		return
	}
	w.heartbeatBackoff.Reset()
	if !w.admitted || w.heartbeatFailing {
		w.log.Info("connected")
	}
	w.admitted, w.heartbeatFailing, w.nameTaken = true, false, false
	early := w.earlyAssignments
	w.earlyAssignments = nil
	w.setInterval(a.HeartbeatInterval.Std())
	if w.nextReport.After(now) {
		w.nextReport = now // the dispatcher is back
	}
	if w.heartbeatCursor != "" {
		w.nextHeartbeat = now
	}
	for _, ref := range a.Forget {
		w.applyForget(ref)
	}
	for i := range a.Drop {
		w.applyDrop(a.Drop[i])
	}
	w.assign(a.Assign)
	w.assign(early)
}

// setInterval applies the interval of the dispatcher. A heartbeat that is due earlier for
// another reason stays due then.
func (w *Worker) setInterval(d time.Duration) {
	if d <= 0 {
		return
	}
	regular := w.lastHeartbeat.Add(w.interval)
	w.interval = min(max(d, minHeartbeatInterval), maxHeartbeatInterval)
	if next := w.lastHeartbeat.Add(w.interval); w.nextHeartbeat.Equal(regular) || next.Before(w.nextHeartbeat) {
		w.nextHeartbeat = next
	}
}

// assignLater keeps assignments until the answer that admits this worker: the command of
// the dispatcher can arrive before its answer to the heartbeat. Assignments that arrive
// while another instance has the name are for that instance.
func (w *Worker) assignLater(list []model.Assignment) {
	switch {
	case len(list) == 0 || w.nameTaken && !w.heartbeatRunning:
		return
	case !w.heartbeatRunning:
		w.scheduleHeartbeat() // the answer was lost
	}
	room := w.cfg.Slots + w.cfg.Prefetch + model.MaxBatch - len(w.earlyAssignments)
	w.earlyAssignments = append(w.earlyAssignments, list[:min(len(list), max(room, 0))]...)
}

// noteUnanswered schedules the next try. Downloads continue meanwhile.
func (w *Worker) noteUnanswered(err error, now time.Time) {
	w.heartbeatCursor = ""
	if errors.Is(err, errCallRestarted) {
		return // restartCalls has scheduled the next heartbeat
	}
	if model.CodeOf(err) == model.CodeConflict {
		w.admitted, w.nameTaken, w.earlyAssignments = false, true, nil
		w.warnThrottled(&w.conflictLog, "the dispatcher refuses this worker's name; it takes nothing new", "error", err)
		return
	}
	w.heartbeatFailing = true
	w.nextHeartbeat = minTime(w.nextHeartbeat, now.Add(w.heartbeatBackoff.NextBackOff()))
	w.warnThrottled(&w.linkLog, "the dispatcher does not answer; downloads continue", "error", err)
}

func minTime(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
