package client

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// lookup is one task of [Tasks.getMany]: the task, or why it was not returned.
type lookup struct {
	ID   string
	Task *model.Task
	Err  *model.Error
}

// getMany returns the tasks of the ids, in order. It sends several requests if they do
// not fit into one, so that they are not all of one moment.
func (t *Tasks) getMany(ctx context.Context, ids []string) ([]lookup, error) {
	list := make([]lookup, 0, len(ids))
	for len(list) < len(ids) {
		ask := ids[len(list):min(len(ids), len(list)+model.MaxBatch)]
		var answer struct {
			Tasks []entry[model.Task] `json:"tasks"`
		}
		if err := t.ask(ctx, t.sender("get"), map[string][]string{"ids": ask}, &answer); err != nil {
			return nil, err
		}
		if len(answer.Tasks) == 0 || len(answer.Tasks) > len(ask) {
			return nil, fmt.Errorf("get as %s: %d tasks got %d answers", t.who, len(ask), len(answer.Tasks))
		}
		for i, e := range answer.Tasks {
			if e.Task == nil && e.Error == nil {
				return nil, fmt.Errorf("get as %s: the answer to task %s is empty", t.who, ask[i])
			}
			list = append(list, lookup{ID: ask[i], Task: e.Task, Err: e.Error})
		}
	}
	return list, nil
}

// tries is how often the methods that send many requests send one of them.
const tries = 8

// retry calls ask again after an error for which again is true.
func retry[T any](ctx context.Context, again func(error) bool, ask func() (T, error)) (T, error) {
	wait := backoff.NewExponentialBackOff()
	wait.InitialInterval = 50 * time.Millisecond
	v, err := backoff.Retry(ctx, func() (T, error) {
		v, err := ask()
		if err != nil && !again(err) {
			err = backoff.Permanent(err)
		}
		return v, err
	}, backoff.WithBackOff(wait), backoff.WithMaxTries(tries))
	return v, err
}

// busy reports whether the dispatcher refused a request, and has done nothing, because
// it is overloaded.
func busy(err error) bool { return errors.Is(err, ErrTryAgain) }

// DoEach applies a verb to the tasks of the ids, in batches, and returns an outcome for
// each, in order. It ends after the first error of a whole batch; the tasks of that
// batch may have been changed. A batch that is refused with [ErrTryAgain] is repeated a
// few times.
func (t *Tasks) DoEach(ctx context.Context, verb Verb, ids iter.Seq[string], list ...DeleteOption) iter.Seq2[Outcome, error] {
	return func(yield func(Outcome, error) bool) {
		for batch := range batches(ids, func(string) int { return 1 }, model.MaxBatch) {
			outcomes, err := retry(ctx, busy, func() ([]Outcome, error) { return t.Do(ctx, verb, batch, list...) })
			if !yieldAll(outcomes, err, yield) {
				return
			}
		}
	}
}

// yieldAll yields the outcomes of a batch, or its error. It reports whether to continue.
func yieldAll(outcomes []Outcome, err error, yield func(Outcome, error) bool) bool {
	if err != nil {
		yield(Outcome{}, err)
		return false
	}
	for _, o := range outcomes {
		if !yield(o, nil) {
			return false
		}
	}
	return true
}

// batches groups items into slices of at most model.MaxBatch and at most limit in size,
// unless a single item is larger.
func batches[T any](items iter.Seq[T], sizeOf func(T) int, limit int) iter.Seq[[]T] {
	return func(yield func([]T) bool) {
		var batch []T
		size := 0
		for item := range items {
			n := sizeOf(item)
			if len(batch) == model.MaxBatch || len(batch) > 0 && size+n > limit {
				if !yield(batch) {
					return
				}
				batch, size = nil, 0
			}
			batch, size = append(batch, item), size+n
		}
		if len(batch) > 0 {
			yield(batch)
		}
	}
}

// DoAll applies a verb to all tasks of the query, page by page, and returns an outcome
// for each. A query without statuses means those of [Verb.Statuses]. It ends after the
// first error of a list or of a whole batch; repeating it continues with the tasks that
// still match.
func (t *Tasks) DoAll(ctx context.Context, verb Verb, q model.ListQuery, list ...DeleteOption) iter.Seq2[Outcome, error] {
	if len(q.Status) == 0 {
		q.Status = verb.Statuses()
	}
	return t.eachOf(ctx, q, func(ids iter.Seq[string]) iter.Seq2[Outcome, error] { return t.DoEach(ctx, verb, ids, list...) })
}

// eachOf applies act to the ids of a query; an error of the list is the last outcome.
func (t *Tasks) eachOf(ctx context.Context, q model.ListQuery, act func(iter.Seq[string]) iter.Seq2[Outcome, error]) iter.Seq2[Outcome, error] {
	return func(yield func(Outcome, error) bool) {
		var listErr error
		for o, err := range act(t.idsOf(ctx, q, &listErr)) {
			if !yield(o, err) || err != nil {
				return
			}
		}
		if listErr != nil {
			yield(Outcome{}, listErr)
		}
	}
}

// idsOf yields the ids of a query; its error is stored in failed.
func (t *Tasks) idsOf(ctx context.Context, q model.ListQuery, failed *error) iter.Seq[string] {
	return func(yield func(string) bool) {
		q.Limit = model.MaxBatch
		for task, err := range t.All(ctx, q) {
			if err != nil {
				*failed = err
				return
			}
			if !yield(task.ID) {
				return
			}
		}
	}
}

// Statuses returns the statuses of the tasks that the verb applies to.
func (v Verb) Statuses() []model.Status {
	switch v {
	case VerbCancel:
		return []model.Status{model.StatusPending, model.StatusQueued, model.StatusDownloading, model.StatusPaused}
	case VerbPause:
		return []model.Status{model.StatusPending, model.StatusQueued, model.StatusDownloading}
	case VerbResume:
		return []model.Status{model.StatusPaused}
	case VerbRetry:
		return []model.Status{model.StatusFailed, model.StatusCanceled}
	case VerbDelete:
		return []model.Status{model.StatusCompleted, model.StatusFailed, model.StatusCanceled}
	}
	return nil
}

// UpdateAll applies a change to all tasks of the query, page by page, and returns an
// outcome for each, in any order. A query without statuses means all but completed. It
// ends like [Tasks.UpdateEach] or after the first error of a list.
func (t *Tasks) UpdateAll(ctx context.Context, q model.ListQuery, change *model.TaskUpdate) iter.Seq2[Outcome, error] {
	if len(q.Status) == 0 {
		q.Status = Updatable()
	}
	return t.eachOf(ctx, q, func(ids iter.Seq[string]) iter.Seq2[Outcome, error] { return t.UpdateEach(ctx, ids, change) })
}

// Updatable returns the statuses of the tasks that an update applies to.
func Updatable() []model.Status {
	return slices.DeleteFunc(slices.Clone(model.Statuses), func(st model.Status) bool { return st == model.StatusCompleted })
}

// updatesAtOnce is how many requests of UpdateEach wait for their answers.
const updatesAtOnce = 32

// UpdateEach applies a change to the tasks of the ids, several at once, and returns an
// outcome for each, in any order. It ends after the first error that is no error
// response about one task.
func (t *Tasks) UpdateEach(ctx context.Context, ids iter.Seq[string], change *model.TaskUpdate) iter.Seq2[Outcome, error] {
	return func(yield func(Outcome, error) bool) {
		for batch := range batches(ids, func(string) int { return 1 }, model.MaxBatch) {
			outcomes, err := t.updateBatch(ctx, batch, change)
			if !yieldAll(outcomes, err, yield) {
				return
			}
		}
	}
}

// updateBatch updates the tasks of one batch, several at once.
func (t *Tasks) updateBatch(ctx context.Context, ids []string, change *model.TaskUpdate) ([]Outcome, error) {
	outcomes, errs := make([]Outcome, len(ids)), make([]error, len(ids))
	work := make(chan int)
	var workers sync.WaitGroup
	for range min(updatesAtOnce, len(ids)) {
		workers.Go(func() {
			for i := range work {
				outcomes[i], errs[i] = t.updateOne(ctx, ids[i], change)
			}
		})
	}
	for i := range ids {
		work <- i
	}
	close(work)
	workers.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return outcomes, nil
}

// updateOne is Update with an error response as the outcome.
func (t *Tasks) updateOne(ctx context.Context, id string, change *model.TaskUpdate) (Outcome, error) {
	task, err := retry(ctx, busy, func() (*model.Task, error) { return t.Update(ctx, id, change) })
	var no *model.Error
	switch {
	case err == nil:
		return Outcome{ID: id, Status: task.Status}, nil
	case errors.As(err, &no) && !busy(err) && no.Code != model.CodeForbidden:
		return Outcome{ID: id, Err: no.For(id)}, nil
	}
	return Outcome{ID: id}, err
}
