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
	minInterval = 200 * time.Millisecond
	maxInterval = 300 * time.Second
)

// startHeartbeat says everything. A worker with more tasks than one message holds
// sends several in a row, so that each task is named in every interval.
func (w *Worker) startHeartbeat(now time.Time) {
	state, reason := w.state(now)
	w.lastState = state
	h := w.heartbeat(state)
	h.StateReason = reason
	w.beating, w.lastBeat = true, now
	w.nextBeat = now.Add(w.interval)
	// An answer that was lost must not hold up the next heartbeat for longer than the
	// dispatcher's heartbeat_timeout, which may be shorter than callTimeout.
	limit := min(max(w.interval, minBeatTimeout), callTimeout)
	w.startCall(limit, &w.cancelBeat, func(ctx context.Context) func() {
		listed := len(h.Tasks)
		answer, err := w.cfg.Link.Heartbeat(ctx, h)
		if err != nil && errors.Is(context.Cause(ctx), errRenewed) {
			err = errRenewed
		}
		return func() {
			if n := len(h.Tasks); 0 < n && n < listed {
				w.beatCursor = h.Tasks[n-1].ID // the link sent those in front; the next heartbeat lists the others
			}
			w.answered(answer, err)
		}
	})
}

func (w *Worker) heartbeat(state model.WorkerState) *model.Heartbeat {
	w.seq++
	h := &model.Heartbeat{
		WorkerID: w.cfg.Name, Instance: w.instance, Epoch: w.epoch, Seq: w.seq, State: state,
		Hostname: w.cfg.Hostname, Address: w.cfg.Address, Dir: w.areas[""].path, TotalSlots: w.cfg.Slots,
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
	cursor := w.beatCursor
	w.beatCursor = ""
	bytes := 0
	for _, id := range slices.Sorted(maps.Keys(w.tasks)) {
		h := w.tasks[id]
		if id <= cursor || state == model.StateLeaving && h.Phase != phaseFinished {
			continue
		}
		bytes += weight(&h.report)
		if len(list) == model.MaxBatch || len(list) > 0 && bytes > maxBody {
			w.beatCursor = list[len(list)-1].ID
			return list, true
		}
		list = append(list, h.report)
	}
	return list, cursor != ""
}

// answered does what the dispatcher says.
func (w *Worker) answered(a *model.HeartbeatAnswer, err error) {
	now := time.Now()
	w.beating = false
	if err != nil || a == nil {
		w.unanswered(err, now)
		return
	}
	w.beatWait.Reset()
	if !w.admitted || w.beatsFail {
		w.log.Info("connected")
	}
	w.admitted, w.beatsFail, w.nameTaken = true, false, false
	early := w.early
	w.early = nil
	w.setInterval(a.HeartbeatInterval.Std())
	if w.nextReport.After(now) {
		w.nextReport = now // the dispatcher is back
	}
	if w.beatCursor != "" {
		w.nextBeat = now
	}
	for _, ref := range a.Forget {
		w.forget(ref)
	}
	for i := range a.Drop {
		w.drop(a.Drop[i])
	}
	w.take(a.Assign)
	w.take(early)
}

// setInterval takes over the interval that the dispatcher sets. A heartbeat that is to
// come sooner for another reason still does.
func (w *Worker) setInterval(d time.Duration) {
	if d <= 0 {
		return
	}
	regular := w.lastBeat.Add(w.interval)
	w.interval = min(max(d, minInterval), maxInterval)
	if next := w.lastBeat.Add(w.interval); w.nextBeat.Equal(regular) || next.Before(w.nextBeat) {
		w.nextBeat = next
	}
}

// takeLater keeps assignments for the answer that admits this worker: the dispatcher
// has read the heartbeat and assigned tasks, and its command was faster than its
// answer. What comes while another instance has the name is meant for that one.
func (w *Worker) takeLater(list []model.Assignment) {
	switch {
	case len(list) == 0 || w.nameTaken && !w.beating:
		return
	case !w.beating:
		w.beatSoon() // the answer was lost
	}
	room := w.cfg.Slots + model.MaxBatch - len(w.early)
	w.early = append(w.early, list[:min(len(list), max(room, 0))]...)
}

// unanswered tries again soon. Whatever is being downloaded goes on.
func (w *Worker) unanswered(err error, now time.Time) {
	w.beatCursor = ""
	if errors.Is(err, errRenewed) {
		return // renew has said when to ask again
	}
	if model.CodeOf(err) == model.CodeConflict {
		w.admitted, w.nameTaken, w.early = false, true, nil
		w.complain(&w.conflictLog, "the dispatcher refuses this worker's name; it takes nothing new", "error", err)
		return
	}
	w.beatsFail = true
	w.nextBeat = minTime(w.nextBeat, now.Add(w.beatWait.NextBackOff()))
	w.complain(&w.linkLog, "the dispatcher does not answer; downloads go on", "error", err)
}

func minTime(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
