package engine

import (
	"slices"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// Heartbeat is a worker's whole state.
type Heartbeat struct {
	*model.Heartbeat
}

// Traits implements [Event].
func (h Heartbeat) Traits() Traits {
	return Traits{Lane: LaneWorkers, Worker: h.WorkerID, Entries: len(h.Tasks)}
}

func (h Heartbeat) reads(e *Engine, ids []string) []string {
	for i := range h.Tasks {
		if e.needsRow(&h.Tasks[i]) {
			ids = append(ids, h.Tasks[i].ID)
		}
	}
	return ids
}

// decide takes a worker's whole state and answers with what it should hold.
// It renews only what it lists.
func (h Heartbeat) decide(e *Engine) Answer {
	answer := Answer{Heartbeat: &model.HeartbeatAnswer{HeartbeatInterval: e.cfg.HeartbeatInterval}}
	w := e.workers[h.WorkerID]
	switch {
	case w == nil && h.State == model.StateLeaving:
		e.addFact(Fact{Kind: FactHeartbeat, Result: HeartbeatApplied})
		return answer
	case w == nil && e.cfg.MaxWorkers > 0 && len(e.workers) >= e.cfg.MaxWorkers:
		e.addFact(Fact{Kind: FactHeartbeat, Result: HeartbeatRefused})
		return Answer{Err: model.Errorf(model.CodeTooMany, "limits.workers: %d workers are known already", len(e.workers)).For(h.WorkerID)}
	case w == nil:
		w = e.addWorker(h.WorkerID)
	default:
		if err := checkInstance(w, h.Heartbeat); err != nil {
			e.addFact(Fact{Kind: FactHeartbeat, Result: HeartbeatConflict})
			return Answer{Err: err}
		}
	}
	if h.Instance == w.Instance && h.Epoch == w.Epoch && h.Seq < w.seq {
		e.addFact(Fact{Kind: FactHeartbeat, Result: HeartbeatStale})
		return answer // overtaken by a newer one, which has been answered
	}
	repeated := h.Seq > 0 && h.Instance == w.Instance && h.Epoch == w.Epoch && h.Seq == w.seq
	e.addFact(Fact{Kind: FactHeartbeat, Result: HeartbeatApplied})
	e.register(w, h.Heartbeat)
	e.turn.plan.Progress = slices.Grow(e.turn.plan.Progress, min(len(h.Tasks), len(w.tasks)))
	w.listed = resized(w.listed, len(h.Tasks))
	for i := range h.Tasks {
		r := &h.Tasks[i]
		t := e.findListed(w, w.listed[i], r.ID)
		w.listed[i] = t
		switch action := e.applyReport(w, t, r); {
		case action.dropReason() != "":
			answer.Heartbeat.Drop = append(answer.Heartbeat.Drop, model.Drop{ID: r.ID, Attempt: r.Attempt, Reason: action.dropReason()})
			if _, ok := w.dropping[r.ID]; !ok && !r.Status.Finished() {
				e.startDrop(w, r.ID, dropping{attempt: r.Attempt})
			}
		case action == actionQueue && t.run.takenBack:
			answer.Heartbeat.Drop = append(answer.Heartbeat.Drop, model.Drop{ID: r.ID, Attempt: r.Attempt, Reason: model.DropSuperseded})
		case action.ends():
			answer.Heartbeat.Forget = append(answer.Heartbeat.Forget, r.Ref())
		}
	}
	if h.State == model.StateLeaving {
		e.markLost(w, false)
		w.left = true
		return answer
	}
	if !repeated { // a repeated heartbeat was sent before the last drops arrived
		e.finishUnlistedDrops(w, h.Tasks)
		e.finishTakingBack(w)
	}
	e.takeBackQueued(w)
	if !h.Partial {
		answer.Assign = e.unlistedAssignments(w)
	}
	answer.Heartbeat.Drop = append(answer.Heartbeat.Drop, w.nextErasures()...)
	e.markDirty(w)
	return answer
}

// findListed returns the live task of an id that a worker lists, or nil.
// Workers mostly list the same in the same order: guess is what was at this place
// the last time.
func (e *Engine) findListed(w *worker, guess *task, id string) *task {
	if guess != nil && guess.ID == id && guess.run != nil && guess.run.worker == w {
		return guess
	}
	if t := w.tasks[id]; t != nil {
		return t
	}
	return e.tasks[id]
}

// resized returns the list with n places. The first ones are unchanged.
func resized(list []*task, n int) []*task {
	if n <= len(list) {
		clear(list[n:])
		return list[:n]
	}
	return append(list, make([]*task, n-len(list))...)
}

// checkInstance refuses a second worker under one name: the name belongs to an instance
// until that instance leaves or is lost, and to its last start.
func checkInstance(w *worker, h *model.Heartbeat) *model.Error {
	switch {
	case w.Instance == "" || w.lost && h.Instance != w.Instance:
		return nil
	case h.Instance != w.Instance:
		return model.Errorf(model.CodeConflict, "instance: the name %s is taken by another living worker (%s on %s)", w.ID, w.Instance, w.Hostname).For(w.ID)
	case h.Epoch < w.Epoch:
		return model.Errorf(model.CodeConflict, "epoch: the worker %s was started again since (epoch %d, not %d)", w.ID, w.Epoch, h.Epoch).For(w.ID)
	}
	return nil
}

// register takes over the state that the worker reports.
func (e *Engine) register(w *worker, h *model.Heartbeat) {
	if w.lost || w.Instance != h.Instance || w.Epoch != h.Epoch {
		w.ConnectedAt = e.now
	}
	if w.Instance != h.Instance || w.Epoch != h.Epoch {
		w.faults = faults{proven: w.faults.proven + 1} // as its own counts; no suspicion from before counts
	}
	e.renewTrial(w)
	same, couldAccept := w.place.HasOffer() && sameCapabilities(&w.Capabilities, &h.Capabilities), w.mayAccept()
	if !w.confirmed || w.lost || w.state != h.State || w.stateReason != h.StateReason {
		e.index.ForgetReasons() // they name it
	}
	w.confirmed, w.lost, w.left, w.partial = true, false, false, h.Partial
	w.heartbeats++
	w.Instance, w.Epoch, w.seq, w.state, w.stateReason = h.Instance, h.Epoch, h.Seq, h.State, h.StateReason
	w.Hostname, w.Address, w.Port, w.Dir, w.Version = h.Hostname, h.Address, h.Port, h.Dir, h.Version
	w.TotalSlots, w.Prefetch, w.Capabilities = h.TotalSlots, h.Prefetch, h.Capabilities
	w.HealthMetrics, w.PerformanceStats = h.HealthMetrics, h.PerformanceStats
	w.Health = health(&h.HealthMetrics, w.faults.count)
	w.LastHeartbeat = e.now
	if !same || couldAccept && !w.mayAccept() {
		// A task bound to it may need what it no longer has; after a start, such a task
		// waited for its first heartbeat only.
		e.unbindTasks(w)
	}
	moved := e.index.SetDiskFree(&w.place, w.HealthMetrics.DiskFree)
	if !same || moved || w.place.Accepting() != w.accepts() {
		e.indexWorker(w)
	}
	e.resetTimeout(w)
	e.markDirty(w)
}

// revive brings back a lost worker that has sent a message.
func (e *Engine) revive(w *worker) {
	w.lost = false
	e.indexWorker(w)
	e.resetTimeout(w)
	e.markDirty(w)
}

// finishUnlistedDrops frees the slots of dropped attempts that the worker no longer lists;
// where it lists only a part, of what it has had time enough to stop.
func (e *Engine) finishUnlistedDrops(w *worker, listed []model.Report) {
	if len(w.dropping) == 0 {
		return
	}
	attempts := make(map[string]int64, len(listed))
	for i := range listed {
		attempts[listed[i].ID] = listed[i].Attempt
	}
	for id, d := range w.dropping { // in any order: each is looked at alone
		if attempts[id] != d.attempt && (!w.partial || d.since.Add(e.grace()) <= e.alive) {
			e.finishDrop(w, id)
		}
	}
}

// unlistedAssignments returns what the worker holds here and does not list: it is given
// again, and taken back if it stays unlisted.
func (e *Engine) unlistedAssignments(w *worker) []Assign {
	listed := 0
	for _, t := range w.tasks { // in any order: they are counted
		if t.run.lastHeartbeat == w.heartbeats || t.run.takenBack {
			listed++
		}
	}
	if listed == len(w.tasks) {
		return nil
	}
	var again []Assign
	for _, t := range w.tasksBySeq() {
		if t.run.lastHeartbeat == w.heartbeats || t.run.takenBack {
			continue
		}
		if t.run.listBy == 0 {
			e.requireListing(t)
		}
		again = append(again, e.assignment(t))
	}
	return again
}

// nextErasures returns what the worker is to remove, and counts the repetition.
func (w *worker) nextErasures() []model.Drop {
	var drops []model.Drop
	for i := range w.erasures {
		drops = append(drops, w.erasures[i].Drop)
		w.erasures[i].times--
	}
	w.erasures = slices.DeleteFunc(w.erasures, func(x erasure) bool { return x.times <= 0 })
	return drops
}
