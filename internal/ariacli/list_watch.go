package ariacli

import (
	"context"
	"slices"
	"strings"

	"github.com/aria-cluster/dispatcher/pkg/bus/client"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// listAndFollow prints the tasks of a query, then each task that changes and is selected,
// until the context ends.
func (s *session) listAndFollow(ctx context.Context, all bool, q model.ListQuery) error {
	tasks, err := s.owner(ctx, all)
	if err != nil {
		return err
	}
	follower, err := tasks.Follow(ctx, client.WithEveryTask()) // before the list, so that no change is between
	if err != nil {
		return err
	}
	defer follower.Close()
	stop, err := s.attend(ctx, tasks, func(line string) { s.hintf("%s", line) })
	if err != nil {
		return err
	}
	defer stop()
	p := newTaskStream(s)
	return printAll(p, func(yield func(*model.Task, error) bool) {
		for t, err := range tasks.All(ctx, q) {
			if !yield(t, err) || err != nil {
				return
			}
		}
		if err := p.flush(); err != nil {
			yield(nil, err)
			return
		}
		for change, err := range follower.Changes(ctx) {
			if err == nil && (change.Err != nil || !selects(&q, change.Task)) {
				continue
			}
			if !yield(change.Task, err) || err != nil || p.flush() != nil { // the next print has its error
				return
			}
		}
	})
}

// newTaskStream returns a printer of tasks as they change.
func newTaskStream(s *session) *printer[*model.Task] {
	r := taskRecords(nowLocal)
	r.stream = true
	return newPrinter(s, r)
}

// selects reports whether the dispatcher would list a task.
func selects(q *model.ListQuery, t *model.Task) bool {
	for name, value := range q.Labels {
		if t.Labels[name] != value {
			return false
		}
	}
	return (len(q.Status) == 0 || slices.Contains(q.Status, t.Status)) &&
		(q.WorkerID == "" || q.WorkerID == t.WorkerID) &&
		(q.Priority == 0 || q.Priority == t.Priority) &&
		strings.Contains(strings.ToLower(t.URL), strings.ToLower(q.Text)) &&
		(q.Since == 0 || t.CreatedAt >= q.Since) && (q.Until == 0 || t.CreatedAt < q.Until)
}
