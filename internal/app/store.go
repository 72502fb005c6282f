package app

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/aria-cluster/dispatcher/internal/config"
	"github.com/aria-cluster/dispatcher/pkg/repo"
	"github.com/aria-cluster/dispatcher/pkg/repo/memory"
	"github.com/aria-cluster/dispatcher/pkg/repo/postgres"
	"github.com/aria-cluster/dispatcher/pkg/repo/sqlite"
)

// openedStore is the store of a daemon, and what its type makes of it.
type openedStore struct {
	repo.Store
	size   func(context.Context) int64 // looks at the bytes on the disk, and at the durability; nil: it has neither
	shared *postgres.Store             // the same, where other dispatchers may use it; else nil
}

// id names a store that other dispatchers may use; else it is empty.
func (s *openedStore) id() string {
	if s.shared == nil {
		return ""
	}
	return s.shared.ID()
}

// lostCommits counts the commits that the store had confirmed and has no longer.
func (d *Daemon) lostCommits() int64 {
	if d.store.shared == nil {
		return 0
	}
	return d.store.shared.LostCommits()
}

// unmetSync is why the store is less durable than database.require_sync wants, or "".
func (d *Daemon) unmetSync() string {
	if d.store.shared == nil {
		return ""
	}
	return d.store.shared.UnmetSync()
}

// openStore opens the store that the configuration names.
func openStore(ctx context.Context, c *config.Database, logger *slog.Logger) (s openedStore, err error) {
	switch c.Type {
	case "memory":
		return openedStore{Store: memory.New()}, nil
	case "sqlite":
		store, err := sqlite.Open(ctx, sqlite.Config{
			Path: c.Path, Synchronous: sqlite.Synchronous(c.Synchronous), Logger: logger,
		})
		if err != nil {
			return s, fmt.Errorf("database.path: %w", err)
		}
		return openedStore{store, func(context.Context) int64 { return fileSizes(c.Path, c.Path+"-wal") }, nil}, nil
	case "postgres":
		if err := postgres.CheckDSN(string(c.DSN)); err != nil {
			return s, &config.Error{Key: "database.dsn", Text: err.Error()}
		}
		store, err := postgres.Open(ctx, postgres.Config{
			DSN: string(c.DSN), Synchronous: postgres.Synchronous(c.Synchronous), RequireSync: c.RequireSync, Logger: logger,
		})
		if err != nil {
			return s, fmt.Errorf("database.dsn: %w", err)
		}
		return openedStore{store, func(ctx context.Context) int64 {
			_ = store.InspectDurability(ctx) // it keeps the last result while the server cannot be reached
			n, _ := store.Size(ctx)          // 0 then
			return n
		}, store}, nil
	}
	return s, fmt.Errorf("database.type: there is no store %q", c.Type)
}
