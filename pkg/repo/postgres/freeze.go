package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/aria-cluster/dispatcher/pkg/repo/internal/rules"
)

// frozenSQL sets whether writes are refused. The leader reads it when it loads, and refuses
// them; the database refuses only those of a dispatcher of the version before.
const frozenSQL = "UPDATE fence SET frozen = $1"

// Frozen reports whether the tasks were copied to another store, so that writes are refused.
// It waits for a commit of unknown outcome, as [Store.Live] does.
func (s *Store) Frozen(ctx context.Context) (frozen bool, err error) {
	err = s.load(ctx, "frozen", func(ctx context.Context, conn *pgxpool.Conn) error {
		return conn.QueryRow(ctx, "SELECT frozen FROM fence").Scan(&frozen)
	})
	return frozen, err
}

// SetFrozen stores whether writes are refused, for each dispatcher that leads from now on. It
// is fenced, and has the errors of [Store.Commit]. Commit itself refuses nothing.
func (s *Store) SetFrozen(ctx context.Context, frozen bool) error {
	if s.closed.Load() {
		return rules.ClosedError("set frozen")
	}
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	if err := s.ready(ctx); err != nil {
		return explainError("set frozen", err)
	}
	b := &pgx.Batch{}
	b.Queue(fenceSQL, s.term.Load(), s.w.generation.Load())
	b.Queue(frozenSQL, frozen)
	return explainError("set frozen", s.w.run(ctx, b, s.config.Timeout))
}
