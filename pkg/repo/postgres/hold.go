package postgres

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/aria-cluster/dispatcher/pkg/model"
	"github.com/aria-cluster/dispatcher/pkg/repo"
)

// releaseTimeout bounds a resignation: without it the next leader waits for the ttl.
const releaseTimeout = 2 * time.Second

// Hold makes the holder the leader, unless another one renews the row: that is
// CodeConflict with its name. It has the store write with the new term, and renews the row
// until the returned function is called, which resigns. Where the row has a holder it waits
// for ttl, or for that of the holder if it is longer. A holder that loses the row is not told:
// its commits fail with [ErrFenced].
func (s *Store) Hold(ctx context.Context, holder string, ttl, renew time.Duration) (release func(), err error) {
	l, claim := s.Leader(), repo.LeaderClaim{Holder: holder, TTL: ttl}
	row, err := l.observeUnchanged(ctx, ttl)
	if err != nil {
		return nil, err
	}
	term, err := l.Take(ctx, row, claim)
	if err != nil {
		return nil, err
	}
	s.SetTerm(term)
	running, stop := context.WithCancel(context.Background())
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		l.renewEvery(running, renew, term, claim, s.log)
	}()
	return func() {
		stop()
		<-stopped
		limited, cancel := context.WithTimeout(context.Background(), releaseTimeout)
		defer cancel()
		if err := l.Resign(limited, term, holder); err != nil {
			s.log.Warn("store: the leader row was not given back; the next leader waits for database.leader_ttl", "error", err)
		}
	}, nil
}

// observeUnchanged returns the row when it is free or has not changed for ttl, or for that of
// its holder if it is longer.
func (l *Leader) observeUnchanged(ctx context.Context, ttl time.Duration) (repo.LeaderRow, error) {
	row, err := l.Observe(ctx)
	if err != nil || row.Free() {
		return row, err
	}
	select {
	case <-ctx.Done():
		return row, ctx.Err()
	case <-time.After(max(ttl, row.TTL)):
	}
	now, err := l.Observe(ctx)
	if err == nil && now != row && !now.Free() {
		err = model.Errorf(model.CodeConflict, "the database is in use by another process, a dispatcher or migrate (%s); stop that one first", now.Holder)
	}
	return now, err
}

// renewEvery renews the row until ctx ends or another holder has it.
func (l *Leader) renewEvery(ctx context.Context, every time.Duration, term int64, claim repo.LeaderClaim, log *slog.Logger) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		limited, cancel := context.WithTimeout(ctx, 4*every)
		err := l.Renew(limited, term, claim)
		cancel()
		if errors.Is(err, repo.ErrNotLeader) {
			log.Error("store: another dispatcher has taken over the database", "error", err)
			return
		}
	}
}
