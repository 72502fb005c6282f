package app

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/aria-cluster/dispatcher/internal/config"
	"github.com/aria-cluster/dispatcher/pkg/model"
	"github.com/aria-cluster/dispatcher/pkg/repo"
	"github.com/aria-cluster/dispatcher/pkg/repo/postgres"
)

// ledStore is a PostgreSQL store whose leader row this dispatcher holds.
type ledStore struct {
	*postgres.Store
	stop    func()
	stopped <-chan struct{}
	term    int64
	holder  string
}

// lead takes the leader row of a store, which it closes after an error. The row of a
// dispatcher that renews it is refused with its name.
func lead(ctx context.Context, store *postgres.Store, c *config.Database, logger *slog.Logger) (*ledStore, error) {
	s := &ledStore{Store: store, holder: instanceName()}
	row, err := observeUnchanged(ctx, store.Leader(), time.Duration(c.LeaderTTL))
	if err == nil {
		s.term, err = store.Leader().Take(ctx, row, s.holder)
	}
	if err != nil {
		return nil, errors.Join(err, store.Close())
	}
	store.SetTerm(s.term)
	running, stop := context.WithCancel(context.Background())
	stopped := make(chan struct{})
	s.stop, s.stopped = stop, stopped
	go func() {
		defer close(stopped)
		s.renew(running, time.Duration(c.LeaderRenew), logger)
	}()
	return s, nil
}

// observeUnchanged returns the row when it is free or has not changed for ttl.
func observeUnchanged(ctx context.Context, l *postgres.Leader, ttl time.Duration) (repo.LeaderRow, error) {
	row, err := l.Observe(ctx)
	if err != nil || row.Free() {
		return row, err
	}
	select {
	case <-ctx.Done():
		return row, ctx.Err()
	case <-time.After(ttl):
	}
	now, err := l.Observe(ctx)
	if err == nil && now != row && !now.Free() {
		err = model.Errorf(model.CodeConflict, "the database is in use by another dispatcher (%s)", now.Holder)
	}
	return now, err
}

// renew renews the row until ctx ends. A row that another dispatcher has taken ends it: the
// store then refuses each commit.
func (s *ledStore) renew(ctx context.Context, every time.Duration, logger *slog.Logger) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		limited, cancel := context.WithTimeout(ctx, every*4)
		err := s.Leader().Renew(limited, s.term, s.holder)
		cancel()
		if errors.Is(err, repo.ErrNotLeader) {
			logger.Error("another dispatcher has taken over the database", "error", err)
			return
		}
	}
}

// Close resigns, so that the next dispatcher need not wait, and closes the store.
func (s *ledStore) Close() error {
	s.stop()
	<-s.stopped
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	_ = s.Leader().Resign(ctx, s.term, s.holder) // without it the next one waits for leader_ttl
	return s.Store.Close()
}
