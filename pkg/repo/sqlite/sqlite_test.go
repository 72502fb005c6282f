package sqlite

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/aria-cluster/dispatcher/pkg/repo"
	"github.com/aria-cluster/dispatcher/pkg/repo/memory"
	"github.com/aria-cluster/dispatcher/pkg/repo/repotest"
)

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

// TestStore_PassesConformanceSuite: the SQLite store passes the conformance suite.
func TestStore_PassesConformanceSuite(t *testing.T) {
	t.Parallel()
	repotest.Run(t, func(t *testing.T) repo.Store {
		return mustOpen(t, Config{Path: filepath.Join(t.TempDir(), "new folder?", "d%41.db")})
	})
}

// TestStore_AnswersLikeMemory: the SQLite store gives the same answers as the memory store.
func TestStore_AnswersLikeMemory(t *testing.T) {
	t.Parallel()
	repotest.Compare(t,
		func(t *testing.T) repo.Store { return memory.New() },
		func(t *testing.T) repo.Store {
			return mustOpen(t, Config{Path: filepath.Join(t.TempDir(), "d.db"), Synchronous: Normal})
		})
}

// TestSchemaVersion_IsNumberOfLastMigration checks that repo.SchemaVersion, which
// programs without a store print, is that of the migrations.
func TestSchemaVersion_IsNumberOfLastMigration(t *testing.T) {
	if n := SchemaVersion(); n != repo.SchemaVersion {
		t.Errorf("the last migration is %d, repo.SchemaVersion %d", n, repo.SchemaVersion)
	}
}
