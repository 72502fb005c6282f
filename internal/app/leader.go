package app

import (
	"context"
	"errors"
	"time"

	"github.com/aria-cluster/dispatcher/internal/config"
	"github.com/aria-cluster/dispatcher/pkg/repo/postgres"
)

// ledStore is a PostgreSQL store whose leader row this dispatcher holds.
type ledStore struct {
	*postgres.Store
	release func()
}

// lead takes the leader row of a store, which it closes after an error. The row of a
// dispatcher that renews it is refused with its name.
func lead(ctx context.Context, store *postgres.Store, c *config.Database) (*ledStore, error) {
	release, err := store.Hold(ctx, instanceName(), time.Duration(c.LeaderTTL), time.Duration(c.LeaderRenew))
	if err != nil {
		return nil, errors.Join(err, store.Close())
	}
	return &ledStore{store, release}, nil
}

// Close resigns, so that the next dispatcher need not wait, and closes the store.
func (s *ledStore) Close() error {
	s.release()
	return s.Store.Close()
}
