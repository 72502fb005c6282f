package postgres

import (
	"fmt"
	"strings"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// The statements of a commit. Each is one for any number of rows: the values of a column
// come as one array.

const (
	// fenceSQL has the term and the generation of the writer.
	fenceSQL  = "SELECT aria_fence($1, $2)"
	absentSQL = "SELECT aria_expect($2, (SELECT count(*) FROM tasks WHERE id = ANY($1)))"
	// takenSQL ends the transaction if one of the ids or seqs is taken: a unique index
	// covers one partition only.
	takenSQL = "SELECT aria_expect(0, (SELECT count(*) FROM tasks WHERE id = ANY($1)) + (SELECT count(*) FROM tasks WHERE seq = ANY($2)))"

	deleteWorkersSQL = "DELETE FROM workers WHERE id = ANY($1)"
)

var (
	countersSQL = "INSERT INTO counters (" + statusColumns + ") VALUES (" + parameters(1, len(model.Statuses)) + ") RETURNING at"
	// foldSQL replaces the differences by their sum, and returns the place of the sum. It
	// begins at the place of the last one: an old transaction may keep the rows before.
	foldSQL = "WITH gone AS (DELETE FROM counters WHERE at >= $1 RETURNING " + statusColumns + ") INSERT INTO counters (" + statusColumns +
		") SELECT " + sumsSQL + " FROM gone RETURNING at"
	forgetSQL = fmt.Sprintf("DELETE FROM tombstones WHERE id IN (SELECT id FROM tombstones WHERE until <= $1 ORDER BY until, id LIMIT %d)",
		model.MaxForget)
	deleteSQL     = [2]string{deleteText(false), deleteText(true)}
	replaceSQL    = replaceText()
	putWorkersSQL = putWorkersText()

	usualInsert = newInsert(func(c *column[model.Task]) bool { return c.usual })
	fullInsert  = newInsert(func(*column[model.Task]) bool { return true })
)

// parameters lists parameters of a statement by their numbers.
func parameters(first, n int) string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf("$%d", first+i)
	}
	return strings.Join(list, ", ")
}

// rowsOf is the rows that come as arrays: the parameters from first on, with a type and a
// name each.
func rowsOf(first int, types, names []string) string {
	list := make([]string, len(types))
	for i, t := range types {
		list[i] = fmt.Sprintf("$%d::%s[]", first+i, t)
	}
	return "unnest(" + strings.Join(list, ", ") + ") AS v(" + strings.Join(names, ", ") + ")"
}

// typesOf lists the types of columns.
func typesOf[S any](columns []column[S]) []string {
	list := make([]string, len(columns))
	for i := range columns {
		list[i] = columns[i].kind.sql
	}
	return list
}

// insertForm is an INSERT of some columns; the others have their defaults.
type insertForm struct {
	columns []column[model.Task]
	sql     string
}

// The columns of a task that are no fields.
var (
	derivedNames = []string{"ended", "shown_url"}
	derivedTypes = []string{"boolean", "text"}
)

func newInsert(wanted func(*column[model.Task]) bool) (f insertForm) {
	for i := range taskColumns {
		if wanted(&taskColumns[i]) {
			f.columns = append(f.columns, taskColumns[i])
		}
	}
	all := append(names(f.columns), derivedNames...)
	f.sql = "INSERT INTO tasks (" + strings.Join(all, ", ") + ") SELECT * FROM " +
		rowsOf(1, append(typesOf(f.columns), derivedTypes...), all)
	return f
}

// updateKey is the fields that an update sets, of tasks that have ended or not.
type updateKey struct {
	set   model.Fields
	ended bool
}

type updateForm struct {
	columns []column[model.Task]
	sql     string
}

func newUpdate(key updateKey) *updateForm {
	f := &updateForm{}
	for i := range taskColumns {
		if taskColumns[i].set&key.set != 0 {
			f.columns = append(f.columns, taskColumns[i])
		}
	}
	columns, types := names(f.columns), typesOf(f.columns)
	if key.set&model.SetStatus != 0 {
		columns, types = append(columns, "ended"), append(types, "boolean")
	}
	f.sql = "WITH changed AS (UPDATE tasks AS t SET " + assignments(columns) + " FROM " +
		rowsOf(2, append([]string{"text", "bigint", "text"}, types...), append([]string{"row_id", "row_seq", "was"}, columns...)) +
		" WHERE t.id = v.row_id AND (v.row_seq = 0 OR t.seq = v.row_seq) AND t.status = v.was AND " + partition(key.ended) +
		" RETURNING 1) SELECT aria_expect($1, count(*)) FROM changed"
	return f
}

func assignments(columns []string) string {
	list := make([]string, len(columns))
	for i, c := range columns {
		list[i] = c + " = v." + c
	}
	return strings.Join(list, ", ")
}

// partition is the condition that a row t is in one of the partitions.
func partition(ended bool) string {
	if ended {
		return "t.ended"
	}
	return "NOT t.ended"
}

func deleteText(ended bool) string {
	return "WITH gone AS (DELETE FROM tasks AS t USING " +
		rowsOf(2, []string{"text", "text", "bigint"}, []string{"row_id", "was", "until"}) +
		" WHERE t.id = v.row_id AND t.status = v.was AND " + partition(ended) + " RETURNING t.id, t.spec_hash, v.until), " +
		"kept AS (INSERT INTO tombstones (id, spec_hash, until) SELECT id, spec_hash, until FROM gone WHERE until <> 0 " +
		"ON CONFLICT (id) DO UPDATE SET spec_hash = excluded.spec_hash, until = excluded.until) " +
		"SELECT aria_expect($1, count(*)) FROM gone"
}

func replaceText() string {
	all := append(names(taskColumns), derivedNames...)
	return "WITH changed AS (UPDATE tasks AS t SET " + assignments(all) + " FROM " +
		rowsOf(2, append(append([]string{"text"}, typesOf(taskColumns)...), derivedTypes...), append([]string{"was"}, all...)) +
		" WHERE t.id = v.id AND t.seq = v.seq AND t.status = v.was RETURNING 1) SELECT aria_expect($1, count(*)) FROM changed"
}

func putWorkersText() string {
	all := names(workerColumns)
	sets := make([]string, len(all))
	for i, c := range all {
		sets[i] = c + " = excluded." + c
	}
	return "INSERT INTO workers (" + strings.Join(all, ", ") + ") SELECT * FROM " + rowsOf(1, typesOf(workerColumns), all) +
		" ON CONFLICT (id) DO UPDATE SET " + strings.Join(sets, ", ")
}
