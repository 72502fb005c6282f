package postgres

import (
	"maps"
	"slices"
	"testing"

	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/internal/testbed/testpostgres"
)

// typesIn returns the columns of a table and their types.
func typesIn(t *testing.T, s *Store, table string) map[string]string {
	t.Helper()
	types := make(map[string]string)
	var name, kind string
	rows, err := s.r.Query(testbed.Context(t), "SELECT column_name, data_type FROM information_schema.columns WHERE table_name = $1", table)
	if err := scanValues(rows, err, []any{&name, &kind}, func() { types[name] = kind }); err != nil {
		t.Fatal(err)
	}
	return types
}

func wantedTypes[S any](columns []column[S]) map[string]string {
	types := make(map[string]string)
	for i := range columns {
		types[columns[i].name] = columns[i].kind.sql
	}
	return types
}

// The migrations make the columns that the declarations of the fields name.
func TestMigrations_MakeColumnsOfModel(t *testing.T) {
	s := mustOpen(t, Config{DSN: testpostgres.Database(t)})
	tasks := wantedTypes(taskColumns)
	for i, name := range derivedNames {
		tasks[name] = derivedTypes[i]
	}
	tasks["active"] = "boolean" // the database computes it
	for table, want := range map[string]map[string]string{
		"tasks": tasks, "tasks_live": tasks, "tasks_done": tasks, "workers": wantedTypes(workerColumns),
	} {
		if have := typesIn(t, s, table); !maps.Equal(have, want) {
			t.Errorf("%s has the columns\n%v, the model\n%v", table, have, want)
		}
	}
}

// Verify looks for each index of the tables, and for each function.
func TestVerify_KnowsEachPartOfSchema(t *testing.T) {
	s := mustOpen(t, Config{DSN: testpostgres.Database(t)})
	for sql, want := range map[string][]string{
		"SELECT indexname FROM pg_indexes WHERE schemaname = current_schema AND tablename NOT IN ('goose_db_version', 'tasks') ORDER BY 1": indexes,
		"SELECT oid::regprocedure::text FROM pg_proc WHERE pronamespace = current_schema::regnamespace ORDER BY 1":                         functions,
	} {
		var have []string
		var name string
		rows, err := s.r.Query(testbed.Context(t), sql)
		if err := scanValues(rows, err, []any{&name}, func() { have = append(have, name) }); err != nil {
			t.Fatal(err)
		}
		if slices.Sort(have); !slices.Equal(have, want) {
			t.Errorf("the database has\n%q, verify looks for\n%q", have, want)
		}
	}
}
