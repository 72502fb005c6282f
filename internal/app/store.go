package app

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/aria-cluster/dispatcher/internal/config"
	"github.com/aria-cluster/dispatcher/pkg/repo"
	"github.com/aria-cluster/dispatcher/pkg/repo/memory"
	"github.com/aria-cluster/dispatcher/pkg/repo/sqlite"
)

// openStore opens the store that the configuration names.
func openStore(ctx context.Context, c *config.Database, logger *slog.Logger) (repo.Store, error) {
	switch c.Type {
	case "memory":
		return memory.New(), nil
	case "sqlite":
		store, err := sqlite.Open(ctx, sqlite.Config{
			Path: c.Path, Synchronous: sqlite.Synchronous(c.Synchronous), Logger: logger,
		})
		if err != nil {
			return nil, fmt.Errorf("database.path: %w", err)
		}
		return store, nil
	}
	return nil, fmt.Errorf("database.type: there is no store %q", c.Type)
}
