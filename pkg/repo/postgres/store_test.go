package postgres

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/internal/testbed/testpostgres"
	"github.com/aria-cluster/dispatcher/pkg/repo"
	"github.com/aria-cluster/dispatcher/pkg/repo/memory"
	"github.com/aria-cluster/dispatcher/pkg/repo/repotest"
)

func TestMain(m *testing.M) { testpostgres.Main(m) }

func mustOpen(t testing.TB, c Config) *Store {
	t.Helper()
	s, err := Open(context.Background(), c)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return s
}

// empty opens the store of a database and removes what a test before has left there: a new
// database for each would take most of the time.
func empty(t testing.TB, dsn string) *Store {
	t.Helper()
	s := mustOpen(t, Config{DSN: dsn})
	batch := &pgx.Batch{}
	for _, table := range []string{"tasks", "counters", "workers", "tombstones"} {
		batch.Queue("DELETE FROM " + table)
	}
	if err := s.w.conn.SendBatch(testbed.Context(t), batch).Close(); err != nil {
		t.Fatal(err)
	}
	return s
}

// TestStore_PassesConformanceSuite: the PostgreSQL store passes the conformance suite.
func TestStore_PassesConformanceSuite(t *testing.T) {
	dsn := testpostgres.Database(t)
	repotest.Run(t, func(t *testing.T) repo.Store { return empty(t, dsn) })
}

// TestStore_AnswersLikeMemory: the PostgreSQL store gives the same answers as the memory
// store.
func TestStore_AnswersLikeMemory(t *testing.T) {
	dsn := testpostgres.Database(t)
	repotest.Compare(t,
		func(t *testing.T) repo.Store { return memory.New() },
		func(t *testing.T) repo.Store { return empty(t, dsn) })
}

// TestStore_DamagedRowsHideNoOthers: rows that another program has spoiled hide no others.
func TestStore_DamagedRowsHideNoOthers(t *testing.T) {
	s := mustOpen(t, Config{DSN: testpostgres.Database(t)})
	repotest.DamagedRows(t, s, func(sql string) {
		t.Helper()
		if _, err := s.w.conn.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	})
}
