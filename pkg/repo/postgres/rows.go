package postgres

import (
	"context"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/aria-cluster/dispatcher/pkg/model"
	"github.com/aria-cluster/dispatcher/pkg/repo/internal/rules"
)

// view is the columns that a query reads, and what it selects for them.
type view[S any] struct {
	columns []column[S]
	sql     string
	damage  func(*S) *string // of a row: the columns that cannot be read
}

func damageOfTask(t *model.Task) *string     { return &t.Damage }
func damageOfWorker(w *model.Worker) *string { return &w.Damage }

func newView[S any](columns []column[S], damage func(*S) *string, form func(*column[S]) string) view[S] {
	list := make([]string, len(columns))
	for i := range columns {
		list[i] = form(&columns[i])
	}
	return view[S]{columns, strings.Join(list, ", "), damage}
}

// plainForm selects a column as it is.
func plainForm[S any](c *column[S]) string { return c.name }

// presence selects of a column with bytes whether it has any: one byte stands for them.
func presence(c *column[model.Task]) string {
	if c.kind == kindBytes && c.set == 0 {
		return "CASE WHEN octet_length(" + c.name + ") = 0 THEN ''::bytea ELSE '!'::bytea END"
	}
	return c.name
}

// without leaves out columns by their names.
func without[S any](columns []column[S], left ...string) []column[S] {
	return slices.DeleteFunc(slices.Clone(columns), func(c column[S]) bool { return slices.Contains(left, c.name) })
}

// isRare reports whether a column is empty in most pending tasks.
func isRare(c column[model.Task]) bool { return !c.usual && c.name != "tags" }

var (
	// fullView is all of a task.
	fullView = newView(taskColumns, damageOfTask, plainForm)
	// listView omits the bytes of torrents and metalinks, up to half a megabyte a row.
	listView = newView(without(taskColumns, "torrent", "metalink"), damageOfTask, plainForm)
	// liveView and rareView are what Live reads: rareView what is empty in most pending tasks.
	liveView = newView(slices.DeleteFunc(without(taskColumns, notLive...), isRare), damageOfTask, presence)
	rareView = newView(slices.DeleteFunc(without(taskColumns, notLive...), func(c column[model.Task]) bool { return !isRare(c) }), damageOfTask, presence)
	// workerView is all of a worker.
	workerView = newView(workerColumns, damageOfWorker, plainForm)
)

// scan sets a row, which is empty, from the values at which rows stands; the view's
// columns come first.
func (v *view[S]) scan(rows pgx.Rows, row *S) {
	raw := rows.RawValues()
	for i := range v.columns {
		v.set(row, i, raw[i])
	}
}

// set sets a column of a row. One that cannot be read is the damage of the row: one bad row
// must not hide the others.
func (v *view[S]) set(row *S, i int, raw []byte) {
	if err := v.columns[i].read(row, raw); err != nil {
		to := v.damage(row)
		*to = rules.AddDamage(*to, v.columns[i].name, err)
	}
}

// all reads the rows of a query.
func (v *view[S]) all(ctx context.Context, q rowsQueryer, sql string, args ...any) ([]*S, error) {
	rows, err := q.Query(ctx, sql, withBinary(args)...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	list := []*S{}
	for rows.Next() {
		row := new(S)
		v.scan(rows, row)
		list = append(list, row)
	}
	return list, rows.Err()
}

// rowsQueryer is a pool or a transaction.
type rowsQueryer interface {
	queryer
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// withBinary has a query answer in the binary form, which scan reads.
func withBinary(args []any) []any {
	return append([]any{pgx.QueryResultFormats{pgx.BinaryFormatCode}}, args...)
}

// scanValues reads rows of a few columns into values, and calls each after each row.
func scanValues(rows pgx.Rows, err error, values []any, each func()) error {
	if err != nil {
		return err
	}
	_, err = pgx.ForEachRow(rows, values, func() error {
		each()
		return nil
	})
	return err
}
