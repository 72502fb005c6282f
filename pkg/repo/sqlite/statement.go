package sqlite

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// statement names a prepared statement: the number of rows of an insert, the
// groups that an update writes, and those that either binds. The engine uses a
// handful of what there could be.
type statement struct {
	kind   kind
	rows   int
	writes set
	binds  set
}

type kind uint8

const (
	beginTransaction kind = iota
	commitTransaction
	rollbackTransaction
	insertTasks
	updateTask
	updateTaskBySeq
	replaceTask
	deleteTask
	selectStatus
	selectTaken
	countTasks
	putWorker
	deleteWorker
	insertTombstone
	deleteTombstones
)

func (s statement) sql() string {
	switch s.kind {
	case beginTransaction:
		return "BEGIN IMMEDIATE"
	case commitTransaction:
		return "COMMIT"
	case rollbackTransaction:
		return "ROLLBACK"
	case insertTasks:
		return insertSQL(s.rows, s.binds)
	case updateTask:
		return updateSQL(s.writes, s.binds) + " WHERE id=? AND status=?"
	case updateTaskBySeq: // the first term finds the row, the others check that it is the one
		return updateSQL(s.writes, s.binds) + " WHERE seq=? AND id=? AND status=?"
	case replaceTask:
		return updateSQL(everyGroup&^keys, everyGroup) + " WHERE id=? AND status=? AND seq=?"
	case deleteTask:
		return "DELETE FROM tasks WHERE id=? AND status=?"
	case selectStatus:
		return "SELECT status FROM tasks WHERE id=?"
	case selectTaken:
		return "SELECT id FROM tasks WHERE id=? OR seq=?"
	case countTasks:
		var text strings.Builder
		for _, s := range model.Statuses {
			fmt.Fprintf(&text, " WHEN '%s' THEN ?", s)
		}
		return "UPDATE counters SET n = n + CASE status" + text.String() + " ELSE 0 END"
	case putWorker:
		return putWorkerSQL
	case deleteWorker:
		return deleteWorkerSQL
	case insertTombstone:
		return "INSERT OR REPLACE INTO tombstones (id, spec_hash, until) SELECT id, spec_hash, ? FROM tasks WHERE id=? AND status=?"
	case deleteTombstones:
		return "DELETE FROM tombstones WHERE id IN (SELECT id FROM tombstones WHERE until <= ? ORDER BY until, id LIMIT " +
			strconv.Itoa(model.MaxForget) + ")"
	}
	panic("sqlite: a statement without text") // only constants of this file get here
}

// insertSQL is an INSERT of n rows that binds some groups. The others are zero.
func insertSQL(n int, bound set) string {
	var columns, values []string
	for i, g := range groups {
		columns = append(columns, g.columns...)
		if bound.has(i) {
			values = append(values, "?"+strings.Repeat(",?", len(g.columns)-1))
		} else {
			values = append(values, g.zero)
		}
	}
	row := "(" + strings.Join(values, ",") + ")"
	return "INSERT INTO tasks (" + strings.Join(columns, ",") + ") VALUES " + row + strings.Repeat(","+row, n-1)
}

// updateSQL is an UPDATE, without its WHERE, of the groups that are wanted. It binds some
// of them.
func updateSQL(wanted, bound set) string {
	var sets []string
	for i, g := range groups {
		zeros := strings.Split(g.zero, ",")
		for j, column := range g.columns {
			switch {
			case !wanted.has(i):
			case bound.has(i):
				sets = append(sets, column+"=?")
			default:
				sets = append(sets, column+"="+zeros[j])
			}
		}
	}
	return "UPDATE tasks SET " + strings.Join(sets, ",")
}
