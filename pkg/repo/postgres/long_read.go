package postgres

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/aria-cluster/dispatcher/pkg/model"
	"github.com/aria-cluster/dispatcher/pkg/repo/internal/rules"
)

// errNotRunning is the error of a long read that was given up.
var errNotRunning = model.Errorf(model.CodeUnavailable, "PostgreSQL does not answer in time")

// readLong is read for what a start needs. While an old transaction keeps dead rows, one
// statement may have to pass by millions of them. A fixed limit would fail each attempt, and
// no dispatcher could lead. So the timeout is only when it asks, on a new connection to the
// server that takes writes now, whether the statement still runs there; a server that hangs
// or that another one has replaced does not confirm it, and the read fails.
func (s *Store) readLong(ctx context.Context, op string, f func(context.Context, *pgxpool.Conn) error) error {
	if s.closed.Load() {
		return rules.ClosedError(op)
	}
	var givenUp atomic.Bool
	running, stop := context.WithCancel(ctx)
	defer stop()
	err := func() error {
		acquiring, cancel := context.WithTimeout(running, s.config.Timeout)
		defer cancel()
		conn, err := s.r.Acquire(acquiring)
		if err != nil {
			return err
		}
		defer conn.Release()
		watched := make(chan struct{})
		go func() {
			defer close(watched)
			if s.watchStatement(running, op, conn.Conn().PgConn().PID()) {
				givenUp.Store(true)
				stop()
			}
		}()
		err = f(running, conn)
		stop()
		<-watched
		return err
	}()
	switch {
	case err != nil && s.closed.Load():
		return rules.ClosedError(op)
	case err != nil && ctx.Err() != nil: // the caller's own end
		return ctx.Err()
	case err != nil && givenUp.Load():
		err = errNotRunning
	}
	return explainError(op, err)
}

// watchStatement returns true when the session runs no statement any more as far as the
// server tells, false when ctx ends.
func (s *Store) watchStatement(ctx context.Context, op string, pid uint32) (lost bool) {
	began, tick := time.Now(), time.NewTicker(s.config.Timeout)
	defer tick.Stop()
	for idle := 0; idle < 2; { // between two statements it is idle too
		select {
		case <-ctx.Done():
			return false
		case <-tick.C:
		}
		switch running, err := s.isRunning(ctx, pid); {
		case err != nil:
			return ctx.Err() == nil
		case !running:
			idle++
		default:
			idle = 0
			s.log.Warn("store: a read takes long, and PostgreSQL still works on it; a transaction that is open for long may keep it from removing dead rows: see pg_stat_activity",
				"action", op, "took", time.Since(began).Round(time.Second))
		}
	}
	return true
}

// isRunning reports whether the session runs a statement at the server that takes writes.
func (s *Store) isRunning(ctx context.Context, pid uint32) (running bool, err error) {
	limited, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	c, _ := s.connConfig()
	conn, err := s.connect(limited, c)
	if err != nil {
		return false, err
	}
	defer closeBroken(conn)
	err = conn.QueryRow(limited, "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $1 AND state = 'active' AND wait_event_type IS DISTINCT FROM 'Client')", int64(pid)).Scan(&running)
	return running, err
}
