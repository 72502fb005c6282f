package worker

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// The bounds of what the dispatcher may set as heartbeat interval.
const (
	minHeartbeatInterval = 200 * time.Millisecond
	maxHeartbeatInterval = 300 * time.Second
)

// startHeartbeat says everything. A worker with more tasks than one message holds
// sends several in a row, so that each task is named in every interval.
func (w *Worker) startHeartbeat(now time.Time) {
	state, reason := w.state(now)
	w.lastState = state
	h := w.heartbeat(state)
	h.StateReason = reason
	w.heartbeatRunning, w.lastHeartbeat = true, now
	w.nextHeartbeat = now.Add(w.interval)
	// An answer that was lost must not hold up the next heartbeat for longer than the
	// dispatcher's heartbeat_timeout, which may be shorter than callTimeout.
	limit := min(max(w.interval, minHeartbeatTimeout), callTimeout)
	w.startCall(limit, &w.cancelHeartbeat, func(ctx context.Context) func() {
		listed := len(h.Tasks)
		answer, err := w.cfg.Link.Heartbeat(ctx, h)
		if err != nil && errors.Is(context.Cause(ctx), errCallRestarted) {
			err = errCallRestarted
		}
		return func() {
			if n := len(h.Tasks); 0 < n && n < listed {
				w.heartbeatCursor = h.Tasks[n-1].ID // the link sent those in front; the next heartbeat lists the others
			}
			w.applyAnswer(answer, err)
		}
	})
}

func (w *Worker) heartbeat(state model.WorkerState) *model.Heartbeat {
	w.seq++
	h := &model.Heartbeat{
		WorkerID: w.cfg.Name, Instance: w.instance, Epoch: w.epoch, Seq: w.seq, State: state,
		Hostname: w.cfg.Hostname, Address: w.cfg.Address, Dir: w.dirs[""].path, TotalSlots: w.cfg.Slots,
		Capabilities:     w.engine.Capabilities(),
		PerformanceStats: w.stats.performance(),
	}
	h.Capabilities.Tags = w.cfg.Tags
	h.Capabilities.Folders = slices.Sorted(maps.Keys(w.cfg.Folders))
	if s := w.health.Load(); s != nil {
		h.HealthMetrics = s.metrics
		h.Capabilities.DiskSpace = s.diskSpace
	}
	h.HealthMetrics.SuccessCount, h.HealthMetrics.ErrorCount = w.stats.completed, w.stats.failed
	h.Tasks, h.Partial = w.listTasks(state)
	return h
}

// listTasks lists what is held, from where the last partial list ended. A leaving
// worker names only what it has finished: the rest it gives back.
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

// applyAnswer does what the dispatcher says.
func (w *Worker) applyAnswer(a *model.HeartbeatAnswer, err error) {
	now := time.Now()
	w.heartbeatRunning = false
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

// setInterval takes over the interval that the dispatcher sets. A heartbeat that is to
// come sooner for another reason still does.
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

// assignLater keeps assignments for the answer that admits this worker: the dispatcher
// has read the heartbeat and assigned tasks, and its command was faster than its
// answer. What comes while another instance has the name is meant for that one.
func (w *Worker) assignLater(list []model.Assignment) {
	switch {
	case len(list) == 0 || w.nameTaken && !w.heartbeatRunning:
		return
	case !w.heartbeatRunning:
		w.scheduleHeartbeat() // the answer was lost
	}
	room := w.cfg.Slots + model.MaxBatch - len(w.earlyAssignments)
	w.earlyAssignments = append(w.earlyAssignments, list[:min(len(list), max(room, 0))]...)
}

// noteUnanswered tries again soon. Whatever is being downloaded goes on.
func (w *Worker) noteUnanswered(err error, now time.Time) {
	w.heartbeatCursor = ""
	if errors.Is(err, errCallRestarted) {
		return // renew has said when to ask again
	}
	if model.CodeOf(err) == model.CodeConflict {
		w.admitted, w.nameTaken, w.earlyAssignments = false, true, nil
		w.warnThrottled(&w.conflictLog, "the dispatcher refuses this worker's name; it takes nothing new", "error", err)
		return
	}
	w.heartbeatFailing = true
	w.nextHeartbeat = minTime(w.nextHeartbeat, now.Add(w.heartbeatBackoff.NextBackOff()))
	w.warnThrottled(&w.linkLog, "the dispatcher does not answer; downloads go on", "error", err)
}

func minTime(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
