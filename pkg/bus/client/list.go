package client

import (
	"context"
	"iter"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// List returns one page of tasks. It may be short, or even empty, and still have a
// Next, which is the Cursor of the query for the page after it. [Tasks.All] reads all
// pages.
func (t *Tasks) List(ctx context.Context, q model.ListQuery) (*model.TaskPage, error) {
	var page model.TaskPage
	if err := t.ask(ctx, t.sender("list"), q, &page); err != nil {
		return nil, err
	}
	return &page, nil
}

// All returns all tasks of the query, page by page, so that the list is not of one
// moment: a task that changes meanwhile may be missing, but none occurs twice. The
// first page is small, so that the first task comes quickly, unless the query has a
// Limit, which is the size of a page. It ends after the first error.
func (t *Tasks) All(ctx context.Context, q model.ListQuery) iter.Seq2[*model.Task, error] {
	return func(yield func(*model.Task, error) bool) {
		grow := q.Limit == 0
		for {
			page, err := t.List(ctx, q)
			if err != nil {
				yield(nil, err)
				return
			}
			for _, task := range page.Tasks {
				if !yield(task, nil) {
					return
				}
			}
			if page.Next == "" {
				return
			}
			q.Cursor = page.Next
			if grow {
				q.Limit = model.MaxBatch
			}
		}
	}
}

// AllWorkers returns all workers of the query, in the order of their names. It ends
// after the first error.
func (o *Operator) AllWorkers(ctx context.Context, q model.WorkerQuery) iter.Seq2[*model.Worker, error] {
	return func(yield func(*model.Worker, error) bool) {
		for {
			page, err := o.Workers(ctx, q)
			if err != nil {
				yield(nil, err)
				return
			}
			for _, worker := range page.Workers {
				if !yield(worker, nil) {
					return
				}
			}
			if page.Next == "" {
				return
			}
			q.Cursor = page.Next
		}
	}
}

// MinSuffix is the least number of characters for [Tasks.BySuffix].
const MinSuffix = 6

// BySuffix returns the task with an id that ends in suffix. The dispatcher looks among
// the live tasks and the newest 10,000 others. Several such tasks are [ErrConflict], with
// two of the ids in the sentence.
func (t *Tasks) BySuffix(ctx context.Context, suffix string) (*model.Task, error) {
	var page model.TaskPage
	if err := t.ask(ctx, t.sender("list"), struct {
		IDSuffix string `json:"id_suffix"`
		Limit    int    `json:"limit"`
	}{suffix, 2}, &page); err != nil {
		return nil, err
	}
	var no *model.Error
	switch len(page.Tasks) {
	case 1:
		return page.Tasks[0], nil
	case 0:
		no = model.Errorf(model.CodeNotFound, "no task has an id that ends in %s", suffix).For(suffix)
	default:
		no = model.Errorf(model.CodeConflict, "%s is the end of several ids, such as %s and %s", suffix, page.Tasks[0].ID, page.Tasks[1].ID).For(suffix)
	}
	return nil, &requestError{what: "list as " + t.who, err: no, kind: kindOf(no)}
}
