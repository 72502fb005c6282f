package memory

import (
	"context"
	"slices"
	"strings"

	"github.com/aria-cluster/dispatcher/pkg/model"
	"github.com/aria-cluster/dispatcher/pkg/repo/internal/rules"
)

// chunkSize is how many rows are taken under one hold of the lock, so that a
// long walk delays the writer by microseconds only.
const chunkSize = 1024

// List implements [repo.Reader].
func (s *Store) List(ctx context.Context, q *model.ListQuery) (*model.TaskPage, error) {
	seq, err := rules.Seq(q.Cursor)
	if err != nil {
		return nil, err
	}
	page := &model.TaskPage{Tasks: []*model.Task{}}
	path := func() []*ordered { return s.path(q) }
	text := rules.Lower(q.Text)
	for examined := 0; ; {
		tasks, err := s.chunk(ctx, "list", path, seq, q.Order != model.OrderOldest)
		if err != nil {
			return nil, err
		}
		for _, t := range tasks {
			if examined == rules.MaxExamined {
				page.Next = rules.Cursor(seq)
				return page, nil
			}
			if matches(q, text, t) {
				if len(page.Tasks) == q.Limit {
					page.Next = rules.Cursor(seq)
					return page, nil
				}
				page.Tasks = append(page.Tasks, t)
			}
			examined++
			seq = t.Seq
		}
		if len(tasks) == 0 {
			return page, nil
		}
	}
}

// path returns the sets of rows that a query must scan: of those that hold all that it
// can match, the smallest.
func (s *Store) path(q *model.ListQuery) []*ordered {
	best, size := []*ordered{&s.all}, s.all.size
	narrow := func(sets ...*ordered) {
		n := 0
		for _, set := range sets {
			n += set.size
		}
		if n < size {
			best, size = sets, n
		}
	}
	none := new(ordered)
	named := func(sets map[string]*ordered, name string) {
		switch set := sets[name]; {
		case name == "":
		case set == nil:
			narrow(none)
		default:
			narrow(set)
		}
	}
	named(s.byClient, q.Client)
	named(s.byWorker, q.WorkerID)
	if len(q.Status) > 0 {
		var sets []*ordered
		for _, status := range model.Statuses {
			if slices.Contains(q.Status, status) {
				sets = append(sets, s.byStatus[status])
			}
		}
		narrow(sets...)
	}
	return best
}

// chunk returns the next rows beyond seq in the sets that path names, which is
// called with the store held; none at the end.
func (s *Store) chunk(ctx context.Context, op string, path func() []*ordered, seq int64, down bool) ([]*model.Task, error) {
	var tasks []*model.Task
	err := s.read(ctx, op, func() {
		var walks []walk
		for _, set := range path() {
			walks = append(walks, set.from(seq, down))
		}
		for len(tasks) < chunkSize {
			next := -1
			var first entry
			for i := range walks {
				e, ok := walks[i].peek()
				if ok && (next < 0 || (e.seq < first.seq) != down) {
					next, first = i, e
				}
			}
			if next < 0 {
				return
			}
			tasks = append(tasks, first.row.task)
			walks[next].advance()
		}
	})
	return tasks, err
}

// matches reports whether the task is one that the query asks for; text is the
// query's in lower case.
func matches(q *model.ListQuery, text string, t *model.Task) bool {
	switch {
	case len(q.Status) > 0 && !slices.Contains(q.Status, t.Status),
		q.Client != "" && t.Client != q.Client,
		q.WorkerID != "" && t.WorkerID != q.WorkerID,
		q.Priority != 0 && t.Priority != q.Priority,
		!strings.HasSuffix(t.ID, q.IDSuffix),
		q.Since != 0 && t.CreatedAt < q.Since,
		q.Until != 0 && t.CreatedAt >= q.Until:
		return false
	}
	for name, value := range q.Labels {
		if have, ok := t.Labels[name]; !ok || have != value {
			return false
		}
	}
	return text == "" || strings.Contains(rules.Lower(rules.ShownURL(t.URL)), text)
}
