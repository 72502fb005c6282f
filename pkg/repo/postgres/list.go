package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"

	"github.com/aria-cluster/dispatcher/pkg/model"
	"github.com/aria-cluster/dispatcher/pkg/repo/internal/rules"
)

// selection is the rows that a list walks and the filters on them. Each arm is the walk of
// one index in the order of seq; PostgreSQL merges them.
type selection struct {
	arms    []string // conditions
	filters []string
	args    []any // the seq after which the walk begins, values of the arms, values of the filters
	walked  int   // how many of args the walk has
}

// bind adds a value and returns its parameter.
func (s *selection) bind(v any) string {
	s.args = append(s.args, v)
	return fmt.Sprintf("$%d", len(s.args))
}

// where adds a filter.
func (s *selection) where(filter string) { s.filters = append(s.filters, filter) }

// walk returns the query for rows of all arms without the filters, after a seq, in order.
func (s *selection) walk(columns string, down bool) string {
	bound, order := "seq > $1", "ASC"
	if down {
		bound, order = "seq < $1", "DESC"
	}
	arms := make([]string, len(s.arms))
	for i, arm := range s.arms {
		arms[i] = "SELECT " + columns + " FROM tasks WHERE " + arm + " AND " + bound
	}
	return strings.Join(arms, " UNION ALL ") + " ORDER BY seq " + order
}

// List implements [repo.Reader]. Its tasks come without the bytes of a torrent or metalink.
func (s *Store) List(ctx context.Context, q *model.ListQuery) (*model.TaskPage, error) {
	after, err := rules.Seq(q.Cursor)
	if err != nil {
		return nil, err
	}
	page := &model.TaskPage{Tasks: []*model.Task{}}
	err = s.read(ctx, "list", func(ctx context.Context) error {
		sel, err := s.choose(ctx, q)
		if err == nil {
			err = s.page(ctx, q, sel, after, page)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return page, nil
}

// page reads one page of the selection, after the row with the seq.
func (s *Store) page(ctx context.Context, q *model.ListQuery, sel *selection, after int64, page *model.TaskPage) error {
	down := q.Order != model.OrderOldest
	if down && after == 0 {
		after = math.MaxInt64
	}
	sel.args[0] = after
	sql := sel.walk(listView.sql, down)
	if len(sel.filters) > 0 { // they look at a bounded number of rows
		sql = fmt.Sprintf("SELECT %s FROM (%s LIMIT %d) AS t WHERE %s", listView.sql,
			sel.walk(listView.sql+", shown_url", down), rules.MaxExamined, strings.Join(sel.filters, " AND "))
	}
	tasks, err := listView.all(ctx, s.r, fmt.Sprintf("%s LIMIT %d", sql, q.Limit+1), sel.args...)
	if err != nil {
		return err
	}
	if page.Tasks = tasks; len(tasks) > q.Limit {
		page.Tasks = tasks[:q.Limit]
		page.Next = rules.Cursor(tasks[q.Limit-1].Seq)
	} else if len(sel.filters) > 0 {
		var last int64
		end := fmt.Sprintf("%s OFFSET %d LIMIT 1", sel.walk("seq", down), rules.MaxExamined-1)
		switch err := s.r.QueryRow(ctx, end, sel.args[:sel.walked]...).Scan(&last); {
		case err == nil:
			page.Next = rules.Cursor(last)
		case !errors.Is(err, pgx.ErrNoRows):
			return err
		}
	}
	return nil
}

// choose picks the index that a query walks; the rest of it becomes filters.
func (s *Store) choose(ctx context.Context, q *model.ListQuery) (*selection, error) {
	byStatuses, err := s.walksByStatus(ctx, q)
	if err != nil {
		return nil, err
	}
	sel := selection{args: []any{int64(0)}}
	client, statuses := q.Client, q.Status
	switch {
	case q.WorkerID != "":
		sel.arms = []string{"worker_id = " + sel.bind(escape(q.WorkerID)) + " AND worker_id <> ''"}
	case byStatuses:
		sel.arms, statuses = byStatus(statuses), nil
	case client != "":
		sel.arms, client = []string{"client = " + sel.bind(escape(client))}, ""
	default:
		sel.arms = []string{"true"}
	}
	sel.walked = len(sel.args)
	if client != "" {
		sel.where("client = " + sel.bind(escape(client)))
	}
	if len(statuses) > 0 {
		sel.where("status IN (" + quoted(statuses) + ")")
	}
	return &sel, sel.filter(q)
}

// smallResultLimit is the number of tasks up to which the index by status is walked
// instead of that by client.
const smallResultLimit = 4 * rules.MaxExamined

// walksByStatus reports whether to walk the index by status: if the query has only
// statuses, or if so few tasks have them that a few pages see them all. The index has no
// completed tasks.
func (s *Store) walksByStatus(ctx context.Context, q *model.ListQuery) (bool, error) {
	if len(q.Status) == 0 || slices.Contains(q.Status, model.StatusCompleted) {
		return false, nil
	}
	if q.Client == "" {
		return true, nil
	}
	counts, err := selectCounts(ctx, s.r, s.w.position.Load())
	if err != nil {
		return false, err
	}
	var n int64
	for _, status := range model.Statuses {
		if slices.Contains(q.Status, status) {
			n += counts[status]
		}
	}
	return n < smallResultLimit, nil
}

// byStatus returns the arms for statuses other than completed.
func byStatus(statuses []model.Status) (arms []string) {
	for _, status := range model.Statuses {
		if slices.Contains(statuses, status) {
			arms = append(arms, fmt.Sprintf("status = '%s' AND status <> 'completed' AND ended = %v", status, status.Terminal()))
		}
	}
	return arms
}

// quoted lists statuses in SQL.
func quoted(statuses []model.Status) string {
	list := make([]string, len(statuses))
	for i, s := range statuses {
		list[i] = "'" + string(s) + "'"
	}
	return strings.Join(list, ", ")
}

// filter adds what no index helps with.
func (s *selection) filter(q *model.ListQuery) error {
	if q.Priority != 0 {
		s.where("priority = " + s.bind(int64(q.Priority)))
	}
	if q.Since != 0 {
		s.where("created_at >= " + s.bind(int64(q.Since)))
	}
	if q.Until != 0 {
		s.where("created_at < " + s.bind(int64(q.Until)))
	}
	if q.IDSuffix != "" {
		suffix := escape(q.IDSuffix)
		s.where("right(id, " + s.bind(utf8.RuneCountInString(suffix)) + "::int) = " + s.bind(suffix))
	}
	if q.Text != "" {
		// With the collation C lower folds the letters A to Z, as rules.Lower does.
		s.where("strpos(lower((CASE WHEN shown_url = '' THEN url ELSE shown_url END) COLLATE \"C\"), " + s.bind(escape(rules.Lower(q.Text))) + ") > 0")
	}
	if len(q.Labels) == 0 {
		return nil
	}
	for name, value := range q.Labels {
		if strings.Contains(name+value, "\x00") { // jsonb knows no zero byte
			s.where("false")
			return nil
		}
	}
	labels, err := json.Marshal(q.Labels)
	if err != nil {
		return err
	}
	s.where("CASE WHEN labels = '' OR " + zeroByte + " THEN false ELSE labels::jsonb @> " + s.bind(string(labels)) + "::jsonb END")
	return nil
}

// zeroByte finds labels with an escaped zero byte, which jsonb refuses: one behind an even
// number of backslashes.
const zeroByte = `(strpos(labels, '\u0000') > 0 AND labels ~ '(^|[^\\])(\\\\)*\\u0000')`
