package engine

import (
	"maps"
	"slices"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// queryTasks gives what the store does not know of live tasks.
func (e *Engine) queryTasks(q QueryTasks) Answer {
	live := make(map[string]model.TaskState, len(q.IDs))
	for _, id := range q.IDs {
		t := e.tasks[id]
		if t == nil {
			continue
		}
		state := model.TaskState{Status: t.status(), Attempt: t.attempt}
		if t.run != nil {
			state.WorkerID = t.workerID()
			(model.SetProgress | model.SetGID).Copy(&state, &t.run.progress)
		}
		if t.status() == model.StatusPending {
			state.Reason = e.why(t)
		}
		live[id] = state
	}
	return Answer{Live: live}
}

// why says in words why a pending task waits.
func (e *Engine) why(t *task) string {
	switch {
	case e.held[t.id] != nil:
		return "is held back until its import is verified"
	case t.retryAt > e.now:
		return "backs off until " + t.retryAt.String() + " after a failure"
	case t.notBefore > e.now:
		return "is not to start before " + t.notBefore.String()
	}
	return e.whySet(t.req)
}

// whySet says why the tasks of a requirement set wait.
func (e *Engine) whySet(r *requirement) string {
	if e.servable(r, "") {
		return "waits for a free slot"
	}
	reason := "no worker is online"
	for _, s := range e.queue.order {
		if s.accepting == 0 {
			continue
		}
		if lack := r.need.missing(&s.caps); lack != "" {
			return "no worker has " + lack
		}
		reason = "every worker that could take it has just failed or refused it"
	}
	return reason
}

func (e *Engine) queryWorkers(q QueryWorkers) Answer {
	if q.ID != "" {
		w := e.workers[q.ID]
		if w == nil {
			return Answer{Err: model.Errorf(model.CodeNotFound, "there is no worker %s", q.ID).For(q.ID)}
		}
		return Answer{Workers: &model.WorkerPage{Workers: []*model.Worker{w.view()}}}
	}
	page := &model.WorkerPage{Workers: []*model.Worker{}}
	for _, id := range slices.Sorted(maps.Keys(e.workers)) {
		w := e.workers[id]
		if id <= q.Cursor || len(q.Status) > 0 && !slices.Contains(q.Status, w.status()) {
			continue
		}
		if len(page.Workers) == q.Limit {
			page.Next = page.Workers[q.Limit-1].ID
			break
		}
		page.Workers = append(page.Workers, w.view())
	}
	return Answer{Workers: page}
}

// view is the worker as others see it.
func (w *worker) view() *model.Worker {
	v := w.Worker
	v.Status = w.status()
	v.UsedSlots = w.used()
	v.CurrentTasks = slices.Sorted(maps.Keys(w.tasks))
	if v.CurrentTasks == nil {
		v.CurrentTasks = []string{}
	}
	v.ErrorHistory = slices.Clone(w.ErrorHistory)
	return &v
}

func (e *Engine) status() *model.ClusterStatus {
	s := &model.ClusterStatus{
		TotalWorkers:  len(e.workers),
		TotalTasks:    e.counts.Total(),
		TasksByStatus: maps.Clone(e.counts),
		Waiting:       make(map[string]int),
	}
	for _, w := range e.workers { // in any order: only sums
		if w.lost || w.said == model.StateError {
			continue
		}
		s.ActiveWorkers++
		s.TotalSlots += w.TotalSlots
		s.UsedSlots += w.used()
	}
	if s.TotalSlots > 0 {
		s.SystemLoad = 100 * float64(s.UsedSlots) / float64(s.TotalSlots)
	}
	for _, r := range e.queue.sets { // in any order: only sums
		if n := r.pending.len(); n > 0 {
			s.Waiting[e.whySet(r)] += n
		}
	}
	if n := len(e.held); n > 0 {
		s.Waiting["is held back until its import is verified"] = n
	}
	if n := e.due.len(); n > 0 {
		s.Waiting["backs off or is scheduled"] = n
	}
	return s
}
