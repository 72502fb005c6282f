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

// countSelected counts the tasks of a query, and remembers the ids of at most remembered ones. The
// newest of them bounds the creation of what is acted on: the clocks of this machine and of
// the dispatcher may differ.
func countSelected(ctx context.Context, tasks *client.Tasks, q model.ListQuery, remembered int64) (selection, error) {
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
	chosen, err := countSelected(ctx, tasks, q, remembered)
	if err != nil {
		return chosen, err
	}
	if chosen.total == 0 {
		r.hintf("no task is selected")
		return chosen, newPrinter(r.session, r.records()).end()
	}
	if err := r.confirm(ctx, fmt.Sprintf("%s %s?", r.name, display.Plural(chosen.total, "task"))); err != nil || r.flags.yes {
		return chosen, err
	}
	// It is for a hint only, so its error does not stop the verb.
	if now, err := countSelected(ctx, tasks, q, 0); err == nil && now.total > chosen.total {
		r.hintf("%s match now; %s acts on %s", display.Plural(now.total, "task"), r.name, chosen.limit())
	}
	return chosen, nil
}

// limit says on which tasks a verb acts.
func (c *selection) limit() string {
	if c.ids != nil {
		return fmt.Sprintf("the %s of the question only", display.Count(c.total))
	}
	return fmt.Sprintf("at most %s, and on none that was created after the question", display.Count(c.total))
}

// list yields the ids of the selection: those of the question, or of the tasks that match now
// and existed then, at most the total. Its error is stored in failed.
func (c *selection) list(ctx context.Context, tasks *client.Tasks, failed *error) iter.Seq[string] {
	if c.ids != nil {
		return slices.Values(c.ids)
	}
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
