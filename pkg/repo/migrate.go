package repo

import (
	"context"
	"fmt"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// BackendNamer is a [Store] that names its backend: "memory" or "sqlite".
type BackendNamer interface {
	Backend() string
}

// MigrateMemoryToSQLite copies the tasks and workers of a memory store into a SQLite
// store. It is [Copy] between the two: a record that the target has with other content
// ends it with an error, and identical records are skipped. Stores of other backends
// are refused; use [Copy] for these.
func MigrateMemoryToSQLite(ctx context.Context, memory, sqlite Store) (Stats, error) {
	return migrate(ctx, memory, "memory", sqlite, "sqlite")
}

// MigrateSQLiteToMemory copies the tasks and workers of a SQLite store into a memory
// store, as [MigrateMemoryToSQLite] does in the other direction.
func MigrateSQLiteToMemory(ctx context.Context, sqlite, memory Store) (Stats, error) {
	return migrate(ctx, sqlite, "sqlite", memory, "memory")
}

func migrate(ctx context.Context, source Store, sourceBackend string, target Store, targetBackend string) (Stats, error) {
	if err := checkBackend("source", source, sourceBackend); err != nil {
		return Stats{}, err
	}
	if err := checkBackend("target", target, targetBackend); err != nil {
		return Stats{}, err
	}
	return Copy(ctx, source, StoreTarget(target), CopyOptions{})
}

// checkBackend refuses a store of another backend.
func checkBackend(role string, s Store, want string) error {
	have := fmt.Sprintf("%T", s)
	if n, ok := s.(BackendNamer); ok {
		have = n.Backend()
	}
	if have != want {
		return model.Errorf(model.CodeInvalid, "migrate: the %s is a %s store, not %s", role, have, want)
	}
	return nil
}
