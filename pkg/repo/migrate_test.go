package repo_test

import (
	"path/filepath"
	"testing"

	"github.com/aria-cluster/dispatcher/pkg/model"
	"github.com/aria-cluster/dispatcher/pkg/repo"
	"github.com/aria-cluster/dispatcher/pkg/repo/memory"
)

// TestMigrate_OtherBackendRefused: the migrations accept the backends that their names
// state, in that order, and refuse others before anything is copied.
func TestMigrate_OtherBackendRefused(t *testing.T) {
	file := open(t, filepath.Join(t.TempDir(), "store.db"))
	inMemory := filled(t, 3, 1)
	wrapped := struct{ repo.Store }{inMemory}
	for name, c := range map[string]struct {
		migrate     func() (repo.Stats, error)
		migrated    int64
		wantRefusal bool
	}{
		"memory to memory":           {func() (repo.Stats, error) { return repo.MigrateMemoryToSQLite(t.Context(), inMemory, memory.New()) }, 0, true},
		"sqlite to memory, reversed": {func() (repo.Stats, error) { return repo.MigrateMemoryToSQLite(t.Context(), file, memory.New()) }, 0, true},
		"memory to sqlite, reversed": {func() (repo.Stats, error) { return repo.MigrateSQLiteToMemory(t.Context(), memory.New(), file) }, 0, true},
		"an unknown backend":         {func() (repo.Stats, error) { return repo.MigrateMemoryToSQLite(t.Context(), wrapped, file) }, 0, true},
		"sqlite to memory":           {func() (repo.Stats, error) { return repo.MigrateSQLiteToMemory(t.Context(), file, memory.New()) }, 0, false},
	} {
		stats, err := c.migrate()
		if refused := model.CodeOf(err) == model.CodeInvalid; refused != c.wantRefusal || stats.TasksMigrated != c.migrated || (err != nil) != c.wantRefusal {
			t.Errorf("%s: %+v, %v", name, stats, err)
		}
	}
	stats, err := repo.MigrateMemoryToSQLite(t.Context(), inMemory, file)
	if err != nil || stats.TasksMigrated != 3 || stats.WorkersMigrated != 1 {
		t.Errorf("memory to sqlite: %+v, %v", stats, err)
	}
}
