package dispatch

import (
	"cmp"
	"context"
	"slices"

	"github.com/aria-cluster/dispatcher/pkg/model"
	"github.com/aria-cluster/dispatcher/pkg/repo"
)

// suffixEnded is how many of the newest ended tasks a lookup by the end of an id examines
// at least; it examines all live ones.
const suffixEnded = 10_000

// tasksBySuffix answers a query with an id_suffix in one page, where the store would give
// many: its pages end after few rows, and the filter matches hardly any. The number of
// rows that it reads is bounded by the live tasks, twice, and suffixEnded.
func (d *Dispatcher) tasksBySuffix(ctx context.Context, q *model.ListQuery) (*model.TaskPage, error) {
	counts, err := d.cfg.Store.Counts(ctx)
	if err != nil {
		return nil, err
	}
	var live int64
	var liveStatuses, endedStatuses []model.Status
	for _, s := range model.Statuses {
		switch asked := len(q.Status) == 0 || slices.Contains(q.Status, s); {
		case s.Terminal() && asked:
			endedStatuses = append(endedStatuses, s)
		case !s.Terminal():
			if live += counts[s]; asked {
				liveStatuses = append(liveStatuses, s)
			}
		}
	}
	// A walk by client would pass the ended tasks of the client, which may be millions.
	found, err := d.walk(ctx, q, "", liveStatuses, live)
	if err != nil {
		return nil, err
	}
	ended, err := d.walk(ctx, q, q.Client, endedStatuses, live+suffixEnded)
	if err != nil {
		return nil, err
	}
	for _, t := range ended {
		found = slices.DeleteFunc(found, func(f *model.Task) bool { return f.ID == t.ID }) // it ended between the walks
	}
	found = append(found, ended...)
	slices.SortFunc(found, func(a, b *model.Task) int {
		if q.Order == model.OrderOldest {
			a, b = b, a
		}
		return cmp.Compare(b.Seq, a.Seq)
	})
	page := &model.TaskPage{Tasks: found}
	if len(found) > q.Limit {
		page.Tasks, page.Next = found[:q.Limit], repo.Cursor(found[q.Limit-1].Seq)
	}
	return page, nil
}

// walk lists tasks of some statuses, over pages that examine so many rows together. It
// stops with the page after which there are more tasks than the query's limit.
func (d *Dispatcher) walk(ctx context.Context, q *model.ListQuery, client string, statuses []model.Status, rows int64) (found []*model.Task, err error) {
	if len(statuses) == 0 {
		return nil, nil
	}
	one := *q
	one.Client, one.Status, one.Limit = client, statuses, model.MaxBatch
	for ; ; rows -= repo.MaxExamined {
		page, err := d.cfg.Store.List(ctx, &one)
		if err != nil {
			return nil, err
		}
		for _, t := range page.Tasks {
			if q.Client == "" || t.Client == q.Client {
				found = append(found, t)
			}
		}
		if page.Next == "" || len(found) > q.Limit || rows <= repo.MaxExamined {
			return found, nil
		}
		one.Cursor = page.Next
	}
}
