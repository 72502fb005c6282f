package postgres

import (
	"context"
	"testing"

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

// TestStore_PassesConformanceSuite: the PostgreSQL store passes the conformance suite.
func TestStore_PassesConformanceSuite(t *testing.T) {
	repotest.Run(t, func(t *testing.T) repo.Store {
		return mustOpen(t, Config{DSN: testpostgres.Database(t)})
	})
}

// TestStore_AnswersLikeMemory: the PostgreSQL store gives the same answers as the memory
// store.
func TestStore_AnswersLikeMemory(t *testing.T) {
	repotest.Compare(t,
		func(t *testing.T) repo.Store { return memory.New() },
		func(t *testing.T) repo.Store {
			return mustOpen(t, Config{DSN: testpostgres.Database(t)})
		})
}
