package sqlite

import (
	"context"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/aria-cluster/dispatcher/pkg/model"
	"github.com/aria-cluster/dispatcher/pkg/repo/internal/rules"
)

// selection is the rows that a query walks and the filters on them. Each arm is
// the walk of one index, in the order of seq by itself; SQLite merges them
// without sorting. The arms' index is named, so that a plan that would sort or
// scan is an error, not a slow surprise.
type selection struct {
	arms    []arm
	filters []string
	args    []any // of the filters
}

type arm struct {
	from string // FROM … WHERE …
	args []any
}

// where adds a filter with its values.
func (s *selection) where(filter string, args ...any) {
	s.filters = append(s.filters, filter)
	s.args = append(s.args, args...)
}

// sql returns the query for the seqs, from one that is excluded to one that is
// included, both parameters; filtered or as the indexes give them.
func (s *selection) sql(down, filtered bool, tail string) string {
	bounds, order := "seq > ? AND seq <= ?", "ASC"
	if down {
		bounds, order = "seq < ? AND seq >= ?", "DESC"
	}
	var arms []string
	for _, a := range s.arms {
		text := "SELECT seq " + a.from + " AND " + bounds
		if filtered {
			for _, f := range s.filters {
				text += " AND " + f
			}
		}
		arms = append(arms, text)
	}
	return strings.Join(arms, " UNION ALL ") + " ORDER BY seq " + order + " " + tail
}

// values are the parameters of sql, without those of its tail.
func (s *selection) values(after, last int64, filtered bool) []any {
	var args []any
	for _, a := range s.arms {
		args = append(args, a.args...)
		args = append(args, after, last)
		if filtered {
			args = append(args, s.args...)
		}
	}
	return args
}

// byStatus returns the arms for statuses other than completed.
func byStatus(statuses []model.Status) []arm {
	var arms []arm
	for _, s := range model.Statuses {
		if slices.Contains(statuses, s) {
			// The second term is the index's own: only then does SQLite use it.
			arms = append(arms, arm{from: "FROM tasks INDEXED BY tasks_status WHERE status = '" +
				string(s) + "' AND status <> 'completed'"})
		}
	}
	return arms
}

// liveStatuses are those of tasks that have not ended.
var liveStatuses = slices.DeleteFunc(slices.Clone(model.Statuses), model.Status.Terminal)

func liveSelection() *selection { return &selection{arms: byStatus(liveStatuses)} }

// List implements [repo.Reader]. Its tasks come without the bytes of a torrent
// or metalink.
func (s *Store) List(ctx context.Context, q *model.ListQuery) (*model.TaskPage, error) {
	return rules.ReadPage(q, func(after int64, page *model.TaskPage) error {
		return s.read("list", func() error {
			sel, err := s.choose(ctx, q)
			if err != nil {
				return err
			}
			return s.page(ctx, q, sel, after, page)
		})
	})
}

// page reads one page of the selection, after the row with the seq.
func (s *Store) page(ctx context.Context, q *model.ListQuery, sel *selection, after int64, page *model.TaskPage) error {
	down := q.Order != model.OrderOldest
	order, last := "ASC", int64(math.MaxInt64)
	if down {
		order, last = "DESC", 1
		if after == 0 {
			after = math.MaxInt64
		}
	}
	read := func(after, last int64, limit int) ([]*model.Task, error) {
		text := "SELECT " + listView.columns() + " FROM tasks WHERE seq IN (" +
			sel.sql(down, true, "LIMIT ?") + ") ORDER BY seq " + order
		rows, err := s.r.QueryxContext(ctx, text, append(sel.values(after, last, true), limit)...)
		return listView.scanAll(rows, err)
	}
	tasks, from, bounded := []*model.Task{}, after, false
	if len(sel.filters) > 0 {
		// Most filters let so much through that a page is full within few rows.
		nearby, err := s.nearbySeq(ctx, after, down)
		if err == nil {
			tasks, err = read(after, nearby, q.Limit+1)
		}
		if err == nil && len(tasks) <= q.Limit {
			from = nearby
			last, bounded, err = s.pageEnd(ctx, sel, after, last, down)
		}
		if err != nil {
			return err
		}
	}
	if len(tasks) <= q.Limit {
		more, err := read(from, last, q.Limit+1-len(tasks))
		if err != nil {
			return err
		}
		tasks = append(tasks, more...)
	}
	switch {
	case len(tasks) > q.Limit:
		tasks = tasks[:q.Limit]
		page.Next = rules.Cursor(tasks[q.Limit-1].Seq)
	case bounded:
		page.Next = rules.Cursor(last)
	}
	page.Tasks = tasks
	return nil
}

// pageEnd returns the seq of the row where a page ends even if its filters let
// nothing through: last, unless that is too far. Walking an index is cheap against
// reading rows.
func (s *Store) pageEnd(ctx context.Context, sel *selection, after, last int64, down bool) (seq int64, bounded bool, err error) {
	var seqs []int64
	text := sel.sql(down, false, "LIMIT 1 OFFSET "+strconv.Itoa(rules.MaxExamined-1))
	if err := s.r.SelectContext(ctx, &seqs, text, sel.values(after, last, false)...); err != nil || len(seqs) == 0 {
		return last, false, err
	}
	return seqs[0], true, nil
}

// nearby is how many rows a page looks at before it asks where it must end.
const nearby = 1000

// nearbySeq returns a seq such that at most nearby rows are between after and it.
func (s *Store) nearbySeq(ctx context.Context, after int64, down bool) (int64, error) {
	switch {
	case !down:
		return after + nearby, nil
	case after < math.MaxInt64:
		return after - nearby, nil
	}
	last, err := s.LastSeq(ctx)
	return last - nearby + 1, err
}

// choose picks the index that a query walks; the rest of it become filters.
func (s *Store) choose(ctx context.Context, q *model.ListQuery) (*selection, error) {
	byStatuses, err := s.walksByStatus(ctx, q)
	if err != nil {
		return nil, err
	}
	var sel selection
	client, statuses := q.Client, q.Status
	switch {
	case q.WorkerID != "":
		sel.arms = []arm{{"FROM tasks INDEXED BY tasks_worker WHERE worker_id = ? AND worker_id <> ''", []any{q.WorkerID}}}
	case byStatuses:
		sel.arms = byStatus(statuses)
		statuses = nil
	case client != "":
		sel.arms = []arm{{"FROM tasks INDEXED BY tasks_client WHERE client = ?", []any{client}}}
		client = ""
	default:
		sel.arms = []arm{{from: "FROM tasks NOT INDEXED WHERE true"}}
	}
	if client != "" {
		sel.where("client = ?", client)
	}
	if len(statuses) > 0 {
		args := make([]any, len(statuses))
		for i, status := range statuses {
			args[i] = string(status)
		}
		sel.where("status IN (?"+strings.Repeat(",?", len(args)-1)+")", args...)
	}
	sel.filter(q)
	return &sel, nil
}

// walksByStatus reports whether to walk the index by status: if the query has only
// statuses, or if so few tasks have them that a few pages see them all, and the client has
// many. The index has no completed tasks.
func (s *Store) walksByStatus(ctx context.Context, q *model.ListQuery) (bool, error) {
	if may, must := rules.MayWalkByStatus(q); must || !may {
		return must, nil
	}
	if few, err := s.hasFewTasks(ctx, q.Client); few || err != nil {
		return false, err
	}
	counts, err := s.Counts(ctx)
	if err != nil {
		return false, err
	}
	var n int64
	for _, status := range model.Statuses {
		if slices.Contains(q.Status, status) {
			n += counts[status]
		}
	}
	return n < rules.SmallResult, nil
}

// fewOfClient is the number of a client's tasks up to which the index by client is walked,
// whichever statuses are asked for.
const fewOfClient = 1000

// hasFewTasks reports whether a client has few tasks. It costs an index walk over them.
func (s *Store) hasFewTasks(ctx context.Context, client string) (bool, error) {
	var n int
	const text = "SELECT count(*) FROM (SELECT 1 FROM tasks INDEXED BY tasks_client WHERE client = ? LIMIT ?)"
	err := s.r.GetContext(ctx, &n, text, client, fewOfClient+1)
	return n <= fewOfClient, err
}

// filter adds what no index helps with.
func (s *selection) filter(q *model.ListQuery) {
	if q.Priority != 0 {
		s.where("priority = ?", int64(q.Priority))
	}
	if q.Since != 0 {
		s.where("created_at >= ?", int64(q.Since))
	}
	if q.Until != 0 {
		s.where("created_at < ?", int64(q.Until))
	}
	if q.IDSuffix != "" {
		s.where("substr(id, ?) = ?", -len(q.IDSuffix), q.IDSuffix)
	}
	if q.Text != "" {
		s.where("instr(lower(iif(shown_url = '', url, shown_url)), ?) > 0", rules.Lower(q.Text))
	}
	for name, value := range q.Labels {
		if isPlain(name) && isPlain(value) { // cheaper than reading the JSON of every row
			s.where("instr(labels, ?) > 0", `"`+name+`":"`+value+`"`)
		}
		s.where("EXISTS (SELECT 1 FROM json_each(iif(labels = '', '{}', labels)) WHERE key = ? AND value = ?)", name, value)
	}
}

// isPlain reports whether JSON has the text as it is.
func isPlain(s string) bool {
	return strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 ._:/@+=-") == ""
}
