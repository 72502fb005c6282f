package sqlite

import (
	"bytes"
	"database/sql"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/jmoiron/sqlx"

	"github.com/aria-cluster/dispatcher/pkg/model"
	"github.com/aria-cluster/dispatcher/pkg/repo/internal/plainjson"
	"github.com/aria-cluster/dispatcher/pkg/repo/internal/rules"
)

// The columns of tasks as they are read. A column costs the driver about as much
// as ten in SQL, so most come packed in one text, with a character between them
// that none of them holds: JSON has it escaped only, and a batch with it in a
// text is refused; see rules.Separator. The gid is what an engine says, so it
// stands last, where it may hold anything.

// column is one that comes packed, and how its text is set in a task.
type column struct {
	sql string
	set func(t *model.Task, text []byte) error
}

// integer is a column with a whole number.
func integer(name string, set func(t *model.Task, n int64)) column {
	return column{name, func(t *model.Task, text []byte) error {
		n, err := strconv.ParseInt(string(text), 10, 64)
		if err != nil {
			return fmt.Errorf("%.40q is no integer", text)
		}
		set(t, n)
		return nil
	}}
}

// text is a column with a text.
func text(name string, of func(t *model.Task) *string) column {
	return column{name, func(t *model.Task, text []byte) error {
		if have := of(t); *have != string(text) { // where it is there already, it need not be made
			*have = string(text)
		}
		return nil
	}}
}

// document is a column with JSON, or nothing: in the form in which a store writes
// it, which read knows, or any other.
func document[T any](name string, read func(*plainjson.Reader) T, of func(t *model.Task) *T) column {
	return column{name, func(t *model.Task, text []byte) error {
		if len(text) == 0 {
			return nil
		}
		r := plainjson.NewReader(text)
		if v := read(&r); r.Done() {
			*of(t) = v
			return nil
		}
		return json.Unmarshal(text, of(t))
	}}
}

// view is what is read of rows: columns that come packed, and the first of
// bareColumns.
type view struct {
	packed []column
	bare   int
}

var (
	// fullView is all of a task.
	fullView = view{packedColumns, len(bareColumns)}
	// listView omits the bytes of torrents and metalinks, up to half a megabyte a row.
	listView = view{packedColumns, listedBare}
)

// columns is what a SELECT of the view names.
func (v *view) columns() string {
	names := make([]string, len(v.packed))
	for i, c := range v.packed {
		names[i] = c.sql
	}
	return "concat_ws(char(30), " + strings.Join(names, ", ") + "), " + strings.Join(bareColumns[:v.bare], ", ")
}

// scan reads the row at which rows stands. A column that cannot be read is the task's
// damage: one bad row must not hide the others.
func (v *view) scan(rows *sqlx.Rows) (*model.Task, error) {
	var (
		t    model.Task
		pack sql.RawBytes
		hash sql.RawBytes
	)
	to := targets(&t, &pack, &hash)
	if err := rows.Scan(to[:1+v.bare]...); err != nil {
		return nil, err
	}
	if err := v.unpack(&t, pack); err != nil {
		return nil, err
	}
	if v.bare > 1 && len(hash) != len(t.SpecHash) {
		t.Damage = rules.AddDamage(t.Damage, "spec_hash", fmt.Errorf("it has %d bytes, not %d", len(hash), len(t.SpecHash)))
	}
	copy(t.SpecHash[:], hash)
	return &t, nil
}

// unpack sets what the packed columns hold.
func (v *view) unpack(t *model.Task, pack []byte) error {
	last := len(v.packed) - 1
	for i := range v.packed {
		part := pack
		if i < last {
			end := bytes.IndexByte(pack, rules.Separator[0])
			if end < 0 {
				return fmt.Errorf("task with seq %d: it has %d columns", t.Seq, i)
			}
			part, pack = pack[:end], pack[end+1:]
		}
		if err := v.packed[i].set(t, part); err != nil {
			t.Damage = rules.AddDamage(t.Damage, v.packed[i].sql, err)
		}
	}
	return nil
}

// scanAll reads all rows and closes them. It takes the error of the query.
func (v *view) scanAll(rows *sqlx.Rows, err error) ([]*model.Task, error) {
	if err != nil {
		return nil, err
	}
	defer rows.Close() //nolint:errcheck // Err has said all
	tasks := []*model.Task{}
	for rows.Next() {
		t, err := v.scan(rows)
		if err != nil {
			return nil, err
		}
		tasks = append(tasks, t)
	}
	return tasks, rows.Err()
}
