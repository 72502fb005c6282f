package engine

import (
	"maps"
	"slices"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// QueryWorkers asks for one page of workers, or, with ID, for one of them.
type QueryWorkers struct {
	ID string
	model.WorkerQuery
}

// Traits implements [Event].
func (QueryWorkers) Traits() Traits { return Traits{Query: true} }

func (QueryWorkers) reads(_ *Engine, ids []string) []string { return ids }

func (q QueryWorkers) decide(e *Engine) Answer {
	if q.ID != "" {
		w := e.workers[q.ID]
		if w == nil {
			return Answer{Err: model.Errorf(model.CodeNotFound, "there is no worker %s", q.ID).For(q.ID)}
		}
		return Answer{Worker: w.public()}
	}
	page := &model.WorkerPage{Workers: []*model.Worker{}}
	for p := range e.index.WorkersAfter(q.Cursor) {
		w := e.workers[p.ID]
		if len(q.Status) > 0 && !slices.Contains(q.Status, w.status()) {
			continue
		}
		if len(page.Workers) == q.Limit {
			page.Next = page.Workers[q.Limit-1].ID
			break
		}
		page.Workers = append(page.Workers, w.public())
	}
	return Answer{Workers: page}
}

// public is the worker as others see it. Its speed is that of the tasks which it has now: one
// that was canceled or paused adds nothing, although the worker may not know that yet.
func (w *worker) public() *model.Worker {
	v := w.Worker
	v.Status, v.StatusReason = w.status(), w.statusReason()
	v.LastSeen = max(w.LastHeartbeat, w.reportedAt)
	v.UsedSlots = w.used()
	v.CurrentTasks = slices.Sorted(maps.Keys(w.tasks))
	if v.CurrentTasks == nil {
		v.CurrentTasks = []string{}
	}
	for _, t := range w.tasks { // in any order: only a sum
		v.DownloadSpeed += min(t.run.progress.speed, maxSpeed)
	}
	v.ErrorHistory = slices.Clone(w.ErrorHistory)
	return &v
}
