package ariacli

import (
	"context"
	"fmt"
	"iter"
	"slices"

	"github.com/aria-cluster/dispatcher/internal/display"
	"github.com/aria-cluster/dispatcher/pkg/bus/client"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// maxRemembered is how many tasks of a question are remembered by their ids.
const maxRemembered = 100_000

// selection is what a query has selected when it was counted. The question names this number,
// so no more tasks may be acted on, and none that was created later. Those whose ids are
// remembered are the tasks that were counted. The others are listed again, where one that
// matches since then may take the place of another.
type selection struct {
	query model.ListQuery // of the tasks that existed then
	total int64
	ids   []string // of all tasks; nil if they are not remembered
}

// count counts the tasks of a query, and remembers the ids of at most remembered ones. The
// newest of them bounds the creation of what is acted on: the clocks of this machine and of
// the dispatcher may differ.
func (r *verbRun) count(ctx context.Context, tasks *client.Tasks, q model.ListQuery, remembered int64) (selection, error) {
	q.Limit = model.MaxBatch
	c, newest := selection{query: q}, model.Time(0)
	for t, err := range tasks.All(ctx, q) {
		if err != nil {
			return c, err
		}
		newest = max(newest, t.CreatedAt)
		if c.total++; c.total <= remembered {
			c.ids = append(c.ids, t.ID)
		}
	}
	if c.total > remembered {
		c.ids = nil
	}
	c.query.Until = newest + 1
	return c, nil
}

// confirmAll counts the selected tasks and asks whether all are meant.
func (r *verbRun) confirmAll(ctx context.Context, tasks *client.Tasks, q model.ListQuery) (selection, error) {
	remembered := int64(maxRemembered)
	switch {
	case r.flags.yes: // nobody has seen the number, so the same tasks need not be remembered
		remembered = 0
	case !isTerminal(r.in) || !isTerminal(r.errOut):
		return selection{}, r.confirm(ctx, r.name+" by a selection?") // which refuses
	}
	chosen, err := r.count(ctx, tasks, q, remembered)
	if err != nil {
		return chosen, err
	}
	if chosen.total == 0 {
		r.hintf("no task is selected")
		return chosen, newPrinter(r.session, r.records()).end()
	}
	if err := r.confirm(ctx, fmt.Sprintf("%s %s?", r.name, plural(int(chosen.total), "task"))); err != nil || r.flags.yes {
		return chosen, err
	}
	now, err := r.count(ctx, tasks, q, 0)
	if err == nil && now.total > chosen.total {
		r.hintf("%s match now; %s acts on %s", plural(int(now.total), "task"), r.name, chosen.limit())
	}
	return chosen, err
}

// limit says on which tasks a verb acts.
func (c *selection) limit() string {
	if c.ids != nil {
		return fmt.Sprintf("the %s of the question only", display.Count(c.total))
	}
	return fmt.Sprintf("at most %s, and on none that was created after the question", display.Count(c.total))
}

// actOnAll applies the verb to the tasks of a selection.
func (r *verbRun) actOnAll(ctx context.Context, tasks *client.Tasks, chosen selection) iter.Seq2[client.Outcome, error] {
	if chosen.ids != nil {
		return r.act(ctx, tasks, slices.Values(chosen.ids))
	}
	return func(yield func(client.Outcome, error) bool) {
		var listErr error
		for o, err := range r.act(ctx, tasks, chosen.list(ctx, tasks, &listErr)) {
			if !yield(o, err) || err != nil {
				return
			}
		}
		if listErr != nil {
			yield(client.Outcome{}, listErr)
		}
	}
}

// list yields the ids of the tasks that match now and existed then, at most the total. Its
// error is stored in failed.
func (c *selection) list(ctx context.Context, tasks *client.Tasks, failed *error) iter.Seq[string] {
	return func(yield func(string) bool) {
		n := int64(0)
		for t, err := range tasks.All(ctx, c.query) {
			if err != nil {
				*failed = err
				return
			}
			if n++; !yield(t.ID) || n == c.total {
				return
			}
		}
	}
}
