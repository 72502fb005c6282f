package client

import (
	"context"
	"iter"
	"slices"

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

// Pages returns all pages of the query. The first one is small, so that it comes quickly,
// unless the query has a Limit. A page may be empty and not be the last. It ends after the
// first error.
func (t *Tasks) Pages(ctx context.Context, q model.ListQuery) iter.Seq2[*model.TaskPage, error] {
	return func(yield func(*model.TaskPage, error) bool) {
		grow := q.Limit == 0
		for {
			page, err := t.List(ctx, q)
			if !yield(page, err) || err != nil || page.Next == "" {
				return
			}
			q.Cursor = page.Next
			if grow {
				q.Limit = model.MaxBatch
			}
		}
	}
}

// All returns all tasks of the query, page by page, so that the list is not of one
// moment: a task that changes meanwhile may be missing, but none occurs twice. The sizes
// of the pages are those of [Tasks.Pages]. It ends after the first error.
func (t *Tasks) All(ctx context.Context, q model.ListQuery) iter.Seq2[*model.Task, error] {
	return func(yield func(*model.Task, error) bool) {
		for page, err := range t.Pages(ctx, q) {
			if err != nil {
				yield(nil, err)
				return
			}
			for _, task := range page.Tasks {
				if !yield(task, nil) {
					return
				}
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
const MinSuffix = model.MinIDSuffix

// suffixPages is how many pages of terminal tasks BySuffix reads. A page examines up to
// 5,000 tasks.
const suffixPages = 2

// BySuffix returns the task with an id that ends in suffix. It looks among all live tasks
// and the newest 10,000 terminal ones, so it takes longer the more tasks are live: about
// a second for a million. Several such tasks are [ErrConflict], with two of the ids in
// the sentence.
func (t *Tasks) BySuffix(ctx context.Context, suffix string) (*model.Task, error) {
	live := slices.DeleteFunc(slices.Clone(model.Statuses), model.Status.Terminal)
	terminal := slices.DeleteFunc(slices.Clone(model.Statuses), func(st model.Status) bool { return !st.Terminal() })
	var found *model.Task
	for _, part := range []struct {
		statuses []model.Status
		pages    int // 0 is no limit
	}{{live, 0}, {terminal, suffixPages}} {
		read := 0
		for page, err := range t.Pages(ctx, model.ListQuery{IDSuffix: suffix, Status: part.statuses, Limit: 2}) {
			if err != nil {
				return nil, err
			}
			for _, task := range page.Tasks {
				if found != nil && found.ID != task.ID { // the same id is a task that has ended meanwhile
					return nil, t.refuse(model.Errorf(model.CodeConflict, "%s is the end of several ids, such as %s and %s", suffix, found.ID, task.ID).For(suffix))
				}
				found = task
			}
			if read++; read == part.pages {
				break
			}
		}
	}
	if found == nil {
		return nil, t.refuse(model.Errorf(model.CodeNotFound, "no task has an id that ends in %s", suffix).For(suffix))
	}
	return found, nil
}

// refuse returns the error of a list.
func (t *Tasks) refuse(no *model.Error) error {
	return &requestError{what: "list as " + t.who, err: no, kind: kindOf(no)}
}
