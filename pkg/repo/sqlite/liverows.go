package sqlite

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/aria-cluster/dispatcher/pkg/model"
	"github.com/aria-cluster/dispatcher/pkg/repo/internal/rules"
)

// A page of live tasks is read as one text: a row costs the driver about as much as
// reading it costs SQLite, and a start with a million tasks waits for this. The
// separator follows each column; see packedColumns. Columns that are zero in most
// waiting tasks form groups: a group of zeros is empty, another one is a mark and its
// columns. [repo.Loader] lists the fields that are omitted.

var (
	liveColumns = liveColumnsOf(liveAlways)
	liveGroups  = []liveGroup{newLiveGroup(liveWaiting), newLiveGroup(liveActive)}
)

// liveGroup is columns that come together or not at all.
type liveGroup struct {
	columns []column
	blank   string // the condition that all of them are zero
}

func newLiveGroup(names []string) liveGroup {
	var blank []string
	for _, g := range groups {
		zeros := strings.Split(g.zero, ",")
		for i, name := range g.columns {
			if slices.Contains(names, name) {
				blank = append(blank, name+" IS "+zeros[i])
			}
		}
	}
	return liveGroup{liveColumnsOf(names), strings.Join(blank, " AND ")}
}

// liveColumnsOf returns the columns of those names as Live reads them: like any
// other reader, except for liveForms.
func liveColumnsOf(names []string) []column {
	list := make([]column, len(names))
	for i, name := range names {
		list[i] = liveForms[name]
		for _, c := range packedColumns {
			if c.sql == name && list[i].set == nil {
				list[i] = c
			}
		}
	}
	return list
}

// quotedFloat is read as the number that it is: quote promises that, a conversion
// to text does not.
func quotedFloat(name string, of func(t *model.Task) *float64) column {
	return column{"quote(" + name + ")", func(t *model.Task, text []byte) (err error) {
		*of(t), err = strconv.ParseFloat(string(text), 64)
		return err
	}}
}

// hexText may hold anything, and does not stand last.
func hexText(name string, of func(t *model.Task) *string) column {
	return column{"hex(" + name + ")", func(t *model.Task, text []byte) error {
		b, err := hex.DecodeString(string(text))
		*of(t) = string(b)
		return err
	}}
}

// presence reads only whether a column of bytes is set: it sets one byte.
func presence(name string, of func(t *model.Task) *[]byte) column {
	return column{"iif(" + name + " IS NULL, '', '!')", func(t *model.Task, text []byte) error {
		if len(text) > 0 {
			*of(t) = []byte{'!'}
		}
		return nil
	}}
}

// liveText is the query of a page: of the live tasks that a condition selects.
func liveText(where string) string {
	values := sqlOf(liveColumns)
	for _, g := range liveGroups {
		values = append(values, "iif("+g.blank+", '', "+joinSQL(append([]string{"'!'"}, sqlOf(g.columns)...))+")")
	}
	return "SELECT coalesce(group_concat(row, ''), '') FROM (SELECT " + joinSQL(append(values, "''")) +
		" AS row FROM tasks WHERE " + where + " ORDER BY seq)"
}

// joinSQL is the values in one text, with the separator between them.
func joinSQL(values []string) string {
	return "concat_ws(char(30), " + strings.Join(values, ", ") + ")"
}

func sqlOf(columns []column) []string {
	list := make([]string, len(columns))
	for i, c := range columns {
		list[i] = c.sql
	}
	return list
}

// liveRows reads the rows of pages, all of them into one task.
type liveRows struct {
	page []byte
	rest []byte // the rest of it
	task model.Task

	damaged string // what is wrong with the last row, "" if nothing is
}

func (r *liveRows) begin(page string) {
	r.page = append(r.page[:0], page...)
	r.rest = r.page
}

func (r *liveRows) more() bool { return len(r.rest) > 0 }

// next reads a row. It returns the same task each time.
func (r *liveRows) next() (*model.Task, error) {
	before := r.task.Seq
	r.task = model.Task{Client: r.task.Client} // often the next one's too
	err := r.read(liveColumns)
	for i := range liveGroups {
		var mark []byte
		if err == nil {
			mark, err = r.cut()
		}
		if len(mark) > 0 {
			err = r.read(liveGroups[i].columns)
		}
	}
	if err == nil && r.task.Seq == 0 {
		err = errors.New(r.task.Damage)
	}
	switch isBefore := r.task.Seq <= before; {
	case (err != nil || isBefore) && r.damaged != "":
		return nil, errors.New(r.damaged) // its text has separators, which move all that follows
	case err != nil:
		return nil, fmt.Errorf("task with seq %d: %w", r.task.Seq, err)
	case isBefore:
		return nil, fmt.Errorf("task with seq %d: it comes after one with seq %d", r.task.Seq, before)
	}
	r.damaged = ""
	if r.task.Damage != "" {
		r.damaged = fmt.Sprintf("task with seq %d: %s", r.task.Seq, r.task.Damage)
	}
	return &r.task, nil
}

func (r *liveRows) read(columns []column) error {
	for i := range columns {
		text, err := r.cut()
		if err != nil {
			return fmt.Errorf("its %s: %w", columns[i].sql, err)
		}
		if err := columns[i].set(&r.task, text); err != nil {
			r.task.Damage = rules.AddDamage(r.task.Damage, columns[i].sql, err)
		}
	}
	return nil
}

// cut takes the next column.
func (r *liveRows) cut() ([]byte, error) {
	end := bytes.IndexByte(r.rest, rules.Separator[0])
	if end < 0 {
		return nil, fmt.Errorf("%.40q has no end", r.rest)
	}
	text := r.rest[:end]
	r.rest = r.rest[end+1:]
	return text, nil
}
