package sqlite

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jmoiron/sqlx"

	"github.com/aria-cluster/dispatcher/pkg/model"
	"github.com/aria-cluster/dispatcher/pkg/repo/internal/rules"
)

// maxNamed is how many rows a problem names at most, and how many kinds of damage
// are listed.
const maxNamed = 10

// Report is what [Verify] found in a store's file.
type Report struct {
	Path     string       `json:"path"`
	Schema   int64        `json:"schema,omitempty"` // a file of records has none
	Tasks    int64        `json:"tasks"`
	Workers  int64        `json:"workers"`
	ByStatus model.Counts `json:"by_status"`
	Problems []string     `json:"problems"` // one sentence each; empty if all is well
}

// OK reports whether the file has no problems.
func (r *Report) OK() bool { return len(r.Problems) == 0 }

// invariant is what must hold for the rows of a store: a query of the ids for which it
// does not, and what to say of them.
type invariant struct{ sentence, query string }

var invariants = []invariant{
	{"tasks have a status that there is not",
		"SELECT id FROM tasks WHERE status NOT IN (SELECT status FROM counters)"},
	{"tasks are active and no worker holds them",
		"SELECT id FROM tasks WHERE status IN ('queued','downloading') AND worker_id = ''"},
	{"tasks are held by a worker that is not there",
		"SELECT t.id || ' (' || t.worker_id || ')' FROM tasks t WHERE t.worker_id <> '' AND NOT EXISTS (SELECT 1 FROM workers w WHERE w.id = t.worker_id)"},
	{"tasks are held by a worker and not active",
		"SELECT id FROM tasks WHERE worker_id <> '' AND status NOT IN ('queued','downloading')"},
	{"tasks are active and were never assigned",
		"SELECT id FROM tasks WHERE status IN ('queued','downloading') AND attempt < 1"},
	{"tasks have no id, or a seq below 1",
		"SELECT id || ' (seq ' || seq || ')' FROM tasks WHERE id = '' OR seq < 1"},
	{"tasks have a spec_hash of the wrong length",
		"SELECT id FROM tasks WHERE length(spec_hash) <> 32"},
}

// documentInvariants returns those about JSON. A file with an older schema may lack some
// columns.
func documentInvariants(ctx context.Context, q sqlx.QueryerContext) (list []invariant, err error) {
	for _, table := range []struct {
		name, sentence, query string
		documents             []string
	}{
		{"tasks", "tasks have a field that is no JSON", "SELECT id FROM tasks WHERE NOT (%s)", taskDocuments},
		{"workers", "workers have no id, or a field that is no JSON", "SELECT id FROM workers WHERE id = '' OR NOT (%s)", workerDocuments},
	} {
		var columns, valid []string
		if err := sqlx.SelectContext(ctx, q, &columns, "SELECT name FROM pragma_table_info(?)", table.name); err != nil {
			return nil, err
		}
		for _, c := range table.documents {
			if slices.Contains(columns, c) {
				valid = append(valid, "("+c+" = '' OR json_valid("+c+"))")
			}
		}
		list = append(list, invariant{table.sentence, fmt.Sprintf(table.query, strings.Join(valid, " AND "))})
	}
	return list, nil
}

// Verify checks the store's file at path, whether or not a dispatcher has it open:
// SQLite's integrity check, the schema, the counters against a scan, and the invariants
// between tasks and workers. It reads the whole file. An error means that the file
// could not be checked; the report lists its problems.
func Verify(ctx context.Context, path string) (*Report, error) {
	r := &Report{Path: path, Problems: []string{}, ByStatus: model.Counts{}}
	path, options, err := readable(ctx, path)
	if isDamaged(err) {
		r.addProblem("%v", err)
		return r, nil
	} else if err != nil {
		return nil, err
	}
	r.Path = path
	have, known, err := schema(ctx, path, options)
	r.Schema = have
	switch {
	case isDamaged(err):
		r.addProblem("%v", err)
		return r, nil
	case err != nil:
		return nil, err
	case have > known:
		r.addProblem("it has schema %d, this program knows only %d", have, known)
	case have < known:
		r.addProblem("it has schema %d, the newest is %d: it will be brought up to date when a dispatcher opens it", have, known)
	}
	err = openReader(path, options, func(db *sqlx.DB) error {
		tx, err := db.BeginTxx(ctx, nil) // one moment for all questions
		if err != nil {
			return err
		}
		defer tx.Rollback() //nolint:errcheck // it only read
		problems, err := integrity(ctx, tx, "integrity_check")
		for _, d := range problems {
			r.addProblem("%v (%s)", errDamaged, d)
		}
		if err != nil || len(problems) > 0 || have == 0 || have > known {
			return err // the rest would only repeat it
		}
		return r.check(ctx, tx)
	})
	if isDamaged(err) {
		r.addProblem("%v", err)
		err = nil
	}
	if err != nil {
		return nil, err
	}
	return r, nil
}

func (r *Report) addProblem(format string, args ...any) {
	r.Problems = append(r.Problems, fmt.Sprintf(format, args...))
}

// check compares the rows with each other.
func (r *Report) check(ctx context.Context, q sqlx.QueryerContext) error {
	counted, err := counts(ctx, q)
	if err != nil {
		return err
	}
	var rows []struct {
		Status model.Status
		N      int64
	}
	if err := sqlx.SelectContext(ctx, q, &rows, "SELECT status, count(*) AS n FROM tasks GROUP BY status"); err != nil {
		return err
	}
	for _, row := range rows {
		r.ByStatus[row.Status] = row.N
		r.Tasks += row.N
	}
	r.Problems = append(r.Problems, rules.CompareCounts(counted, r.ByStatus)...)
	if err := sqlx.GetContext(ctx, q, &r.Workers, "SELECT count(*) FROM workers"); err != nil {
		return err
	}
	documents, err := documentInvariants(ctx, q)
	if err != nil {
		return err
	}
	for _, inv := range slices.Concat(invariants, documents) {
		var ids []string
		if err := sqlx.SelectContext(ctx, q, &ids, inv.query); err != nil {
			return err
		}
		if n := len(ids); n > maxNamed {
			r.addProblem("%d %s: %s, …", n, inv.sentence, strings.Join(ids[:maxNamed], ", "))
		} else if n > 0 {
			r.addProblem("%d %s: %s", n, inv.sentence, strings.Join(ids, ", "))
		}
	}
	return nil
}

// integrity runs one of SQLite's checks of the whole file and returns what is
// damaged.
func integrity(ctx context.Context, q sqlx.QueryerContext, check string) ([]string, error) {
	var lines []string
	err := sqlx.SelectContext(ctx, q, &lines, fmt.Sprintf("PRAGMA %s(%d)", check, maxNamed))
	if err != nil {
		return nil, err
	}
	if len(lines) == 1 && lines[0] == "ok" {
		return nil, nil
	}
	for i, line := range lines {
		lines[i] = strings.Join(strings.Fields(line), " ")
	}
	return lines, nil
}
