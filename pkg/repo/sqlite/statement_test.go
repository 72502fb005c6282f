package sqlite

import (
	"database/sql/driver"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// stored returns the columns of a row with their types, without its keys.
func stored(t *testing.T, s *Store, id string) string {
	t.Helper()
	var columns []string
	for _, g := range groups[1:] {
		for _, c := range g.columns {
			columns = append(columns, fmt.Sprintf("'%s '||typeof(%s)||' '||quote(%s)", c, c, c))
		}
	}
	var row string
	if err := s.r.Get(&row, "SELECT "+strings.Join(columns, "||char(10)||")+" FROM tasks WHERE id=?", id); err != nil {
		t.Fatal(err)
	}
	return row
}

// TestStatement_ZeroGroupStoredLikeBound: a group that a statement writes as zero is stored as if its values were bound.
func TestStatement_ZeroGroupStoredLikeBound(t *testing.T) {
	s := mustOpen(t, Config{Path: filepath.Join(t.TempDir(), "d.db")})
	none := func(n int) []driver.NamedValue { // a task that has nothing
		var b binder
		b.task(&model.Task{Seq: int64(n), TaskSpec: model.TaskSpec{ID: fmt.Sprint("t", n)}}, everyGroup)
		return b.args
	}
	always := groupsOf(func(g *group) bool { return g.given == nil })
	insert := func(n int, binds set) {
		args := none(n)
		var bound []any
		for i, g := range groups {
			if values := args[:len(g.columns)]; binds.has(i) {
				for _, v := range values {
					bound = append(bound, v.Value)
				}
			}
			args = args[len(g.columns):]
		}
		if _, err := s.w.conn.ExecContext(t.Context(), insertSQL(1, binds), bound...); err != nil {
			t.Fatal(err)
		}
	}
	insert(1, everyGroup)
	insert(2, always)
	insert(3, usualGroups)
	want := stored(t, s, "t1")
	for _, id := range []string{"t2", "t3"} {
		if got := stored(t, s, id); got != want {
			t.Errorf("inserted:\n%s\nwant\n%s", got, want)
		}
	}
	if _, err := s.w.conn.ExecContext(t.Context(), updateSQL(everyGroup&^always, 0), "t1", ""); err != nil {
		t.Fatal(err)
	}
	if got := stored(t, s, "t1"); got != want {
		t.Errorf("updated:\n%s\nwant\n%s", got, want)
	}
}

// TestGroup_HasZeroForEachColumn: a group has a zero for each column or is always given.
func TestGroup_HasZeroForEachColumn(t *testing.T) {
	for _, g := range groups {
		if (g.zero == "") != (g.given == nil) {
			t.Errorf("%v: its zero is %q, and whether it is given: %v", g.columns, g.zero, g.given != nil)
		}
		if n := len(strings.Split(g.zero, ",")); g.zero != "" && n != len(g.columns) {
			t.Errorf("%v have %d zeros", g.columns, n)
		}
	}
}

// Whoever has the engine make changes of many kinds must not fill the memory with
// their statements.
func TestWriter_PreparedStatementsBounded(t *testing.T) {
	s := mustOpen(t, Config{Path: filepath.Join(t.TempDir(), "d.db"), Synchronous: Normal})
	mustCommit(t, s, pending("a", 1))
	var fields []model.Fields
	for _, g := range groups {
		if g.field != 0 && g.field != model.SetStatus {
			fields = append(fields, g.field)
		}
	}
	most := 0
	for n := range maxStatements + 50 {
		c := model.TaskChange{ID: "a", From: model.StatusPending, Set: model.SetStatus}
		c.State.Status = model.StatusPending
		for i, f := range fields {
			if n>>i&1 != 0 {
				c.Set |= f
			}
		}
		mustCommit(t, s, c)
		most = max(most, len(s.w.stmts))
	}
	if most != maxStatements {
		t.Errorf("%d statements were prepared at once, want %d", most, maxStatements)
	}
}
