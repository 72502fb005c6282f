package dispatch

import (
	"context"

	"github.com/aria-cluster/dispatcher/internal/engine"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// Task returns a task: the row of the store with its live progress. The task of another
// client than the given one is CodeNotFound; an empty client means any.
func (d *Dispatcher) Task(ctx context.Context, client, id string) (*model.Task, error) {
	rows, err := d.cfg.Store.Tasks(ctx, []string{id})
	if err != nil {
		return nil, err
	}
	row := rows[id]
	if row == nil || client != "" && row.Client != client {
		return nil, model.Errorf(model.CodeNotFound, "there is no task %s", id).For(id)
	}
	return d.overlay(ctx, []*model.Task{row})[0], nil
}

// TasksByID returns those of the tasks that exist and are the client's, with their live
// progress. It reads them in one query.
func (d *Dispatcher) TasksByID(ctx context.Context, client string, ids []string) (map[string]*model.Task, error) {
	rows, err := d.cfg.Store.Tasks(ctx, ids)
	if err != nil {
		return nil, err
	}
	list := make([]*model.Task, 0, len(rows))
	for _, id := range ids { // in order, so that the engine is asked the same each time
		if row := rows[id]; row != nil && row.Client == client {
			list = append(list, row)
		}
	}
	out := make(map[string]*model.Task, len(list))
	for _, row := range d.overlay(ctx, list) {
		out[row.ID] = row
	}
	return out, nil
}

// Tasks returns one page of tasks with their live progress. The query has been
// validated.
func (d *Dispatcher) Tasks(ctx context.Context, q *model.ListQuery) (*model.TaskPage, error) {
	list := d.cfg.Store.List
	if q.IDSuffix != "" {
		list = d.tasksBySuffix
	}
	page, err := list(ctx, q)
	if err != nil {
		return nil, err
	}
	return &model.TaskPage{Tasks: d.overlay(ctx, page.Tasks), Next: page.Next}, nil
}

// overlay lays over rows of live tasks what only the engine knows, and over those that
// cannot be read as a whole the reason. A row that has
// changed since it was read is left unchanged. Without the engine (it is
// overloaded, or the store cannot be written) the rows stay as they are: a read
// may be slightly stale, which is better than a refusal.
func (d *Dispatcher) overlay(ctx context.Context, rows []*model.Task) []*model.Task {
	var ids []string
	for i, row := range rows {
		if row.Damage != "" {
			now := *row
			now.Reason = row.DamageReason()
			rows[i], row = &now, &now
		}
		if !row.Status.Terminal() {
			ids = append(ids, row.ID)
		}
	}
	if len(ids) == 0 {
		return rows
	}
	answer, err := d.query(ctx, engine.QueryTasks{IDs: ids})
	if err != nil {
		return rows
	}
	out := make([]*model.Task, len(rows))
	for i, row := range rows {
		out[i] = row
		live, ok := answer.Live[row.ID]
		if !ok || live.Status != row.Status || live.Attempt != row.Attempt {
			continue
		}
		now := *row
		if row.Damage == "" {
			now.Reason = live.Reason
		}
		if live.WorkerID != "" {
			(model.SetProgress | model.SetGID).Copy(&now.TaskState, &live)
		}
		out[i] = &now
	}
	return out
}

// Worker returns one worker, or CodeNotFound.
func (d *Dispatcher) Worker(ctx context.Context, id string) (*model.Worker, error) {
	answer, err := d.query(ctx, engine.QueryWorkers{ID: id})
	if err != nil {
		return nil, err
	}
	return answer.Worker, nil
}

// Workers returns one page of workers. The query has been validated.
func (d *Dispatcher) Workers(ctx context.Context, q *model.WorkerQuery) (*model.WorkerPage, error) {
	answer, err := d.query(ctx, engine.QueryWorkers{WorkerQuery: *q})
	if err != nil {
		return nil, err
	}
	return answer.Workers, nil
}

// Status returns the figures of the whole cluster.
func (d *Dispatcher) Status(ctx context.Context) (*model.ClusterStatus, error) {
	answer, err := d.query(ctx, engine.QueryStatus{})
	if err != nil {
		return nil, err
	}
	return answer.Status, nil
}

// query puts one query to the engine and waits for its answer.
func (d *Dispatcher) query(ctx context.Context, query engine.Event) (*engine.Answer, error) {
	answered := make(chan *engine.Answer, 1)
	if err := d.Do([]engine.Event{query}, func(answers []engine.Answer) { answered <- &answers[0] }); err != nil {
		return nil, err
	}
	select {
	case <-ctx.Done():
		return nil, errTimeout
	case a := <-answered:
		if a.Err != nil {
			return nil, a.Err
		}
		return a, nil
	}
}
