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
	return rules.ReadPage(q, func(after int64, page *model.TaskPage) error {
		return s.readSettled(ctx, "list", func(ctx context.Context) error {
			sel, err := s.choose(ctx, q)
			if err == nil {
				err = s.page(ctx, q, sel, after, page)
			}
			return err
		})
	})
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

// choose picks the indexes that a query walks; the rest of it becomes filters.
func (s *Store) choose(ctx context.Context, q *model.ListQuery) (*selection, error) {
	sel := &selection{args: []any{int64(0)}}
	byStatus, err := s.walksByStatus(ctx, q)
	if err != nil {
		return nil, err
	}
	client, worker := "", ""
	if q.Client != "" {
		client = "client = " + sel.bind(escape(q.Client))
	}
	if q.WorkerID != "" {
		worker = "worker_id = " + sel.bind(escape(q.WorkerID))
	}
	if has(q.Status, model.StatusPending, model.StatusPaused, model.StatusQueued, model.StatusDownloading) {
		// Of the index of active tasks a page walks all that it may; it is small.
		active := worker != "" || client == "" && !has(q.Status, model.StatusPending, model.StatusPaused)
		sel.arm("NOT ended", pick(active, "active"), pick(!active, client))
	}
	if has(q.Status, model.StatusCompleted, model.StatusFailed, model.StatusCanceled) {
		switch {
		case worker != "":
			sel.arm("ended", "active")
		case byStatus:
			for _, status := range q.Status {
				if status.Terminal() {
					sel.arm("ended", "status <> 'completed'", "status = '"+string(status)+"'")
				}
			}
		default:
			sel.arm("ended", client)
		}
	}
	if sel.walked = 1; client != "" && slices.ContainsFunc(sel.arms, func(arm string) bool { return strings.HasSuffix(arm, client) }) {
		sel.walked = 2
	}
	if len(q.Status) > 0 {
		sel.where("status IN (" + rules.Quoted(q.Status) + ")")
	}
	for _, filter := range []string{client, worker} {
		if filter != "" {
			sel.where(filter)
		}
	}
	err = sel.filter(q)
	return sel, err
}

// has reports whether a query may find tasks with one of the statuses.
func has(asked []model.Status, statuses ...model.Status) bool {
	return len(asked) == 0 || slices.ContainsFunc(statuses, func(s model.Status) bool { return slices.Contains(asked, s) })
}

func pick(chosen bool, condition string) string {
	if chosen {
		return condition
	}
	return ""
}

// arm adds the walk of the rows for which all conditions hold; empty ones do not count.
func (s *selection) arm(conditions ...string) {
	conditions = slices.DeleteFunc(conditions, func(c string) bool { return c == "" })
	s.arms = append(s.arms, strings.Join(conditions, " AND "))
}

// walksByStatus reports whether to walk the index by status of the tasks that have ended: if
// the query has only statuses, or if so few tasks have them that a few pages see them all.
// The index has no completed tasks.
func (s *Store) walksByStatus(ctx context.Context, q *model.ListQuery) (bool, error) {
	may, must := rules.MayWalkByStatus(q)
	if must || !may {
		return must, nil
	}
	counts, err := selectCounts(ctx, s.r, s.w.position.get())
	return counts[model.StatusFailed]+counts[model.StatusCanceled] < rules.SmallResult, err
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
