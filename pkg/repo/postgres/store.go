package postgres

import (
	"context"
	"log/slog"
	"sync/atomic"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/aria-cluster/dispatcher/pkg/repo/internal/rules"
)

// Store is one PostgreSQL database. It implements [repo.Store].
type Store struct {
	*servers
	config Config
	log    *slog.Logger
	id     string
	closed atomic.Bool
	term   atomic.Int64 // 0: none
	w      writer
	r      *pgxpool.Pool
	leader Leader
	mark   watermark
	unmet  atomic.Pointer[string] // see UnmetSync; nil before the first look
	low    lowest                 // see firstAfter
	snaps  rules.Snapshots
}

// Backend implements [repo.BackendNamer].
func (s *Store) Backend() string { return "postgres" }

// ID returns the random id of the database: dispatchers that share it have the same.
func (s *Store) ID() string { return s.id }

// SetTerm gives the store the term with which it writes from now on. A commit fails with
// [ErrFenced] if the leader row has another one.
func (s *Store) SetTerm(term int64) {
	s.low.forget() // another one may have written meanwhile
	s.term.Store(term)
	s.w.generation.Store(0) // a takeover has set it
}

// Interrupt ends the wait of a commit that is under way: it fails, and its outcome is
// unknown. A dispatcher that no longer leads calls it, so that it need not wait for a
// server that hangs.
func (s *Store) Interrupt() { s.w.interrupt() }

// Close ends all connections. Later calls are refused with CodeUnavailable. A second Close
// does nothing.
func (s *Store) Close() error {
	if s.closed.Swap(true) {
		return nil
	}
	err := s.snaps.Close()
	s.leader.close()
	s.w.mu.Lock()
	s.w.disconnect()
	s.w.mu.Unlock()
	if s.r != nil {
		s.r.Close()
	}
	return err
}

// read runs f, bounded in time, unless the store is closed, and explains its error.
func (s *Store) read(ctx context.Context, op string, f func(context.Context) error) error {
	if s.closed.Load() {
		return rules.ClosedError(op)
	}
	limited, cancel := context.WithTimeout(ctx, s.config.Timeout)
	defer cancel()
	err := f(limited)
	if err != nil && s.closed.Load() {
		return rules.ClosedError(op)
	}
	if err != nil && ctx.Err() != nil { // the caller's own end
		return ctx.Err()
	}
	return explainError(op, err)
}
