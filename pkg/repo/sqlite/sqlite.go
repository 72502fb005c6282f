package sqlite

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/jmoiron/sqlx"

	"github.com/aria-cluster/dispatcher/pkg/model"
	"github.com/aria-cluster/dispatcher/pkg/repo"
	"github.com/aria-cluster/dispatcher/pkg/repo/internal/rules"
)

const countsSQL = "SELECT status, n FROM counters"

// Store is one SQLite file. It implements [repo.Store].
type Store struct {
	lock   *lock
	closed atomic.Bool
	w      writer
	r      *sqlx.DB
	path   string
	snaps  rules.Snapshots
	reads  struct{ tasks, counts, workers, last, live, liveDense, liveEnd, tombstones *sqlx.Stmt }
}

var _ repo.Store = (*Store)(nil)

func (s *Store) prepareReads(ctx context.Context) error {
	for _, p := range []struct {
		to  **sqlx.Stmt
		sql string
	}{
		{&s.reads.tasks, "SELECT " + fullView.columns() + " FROM tasks WHERE id IN (SELECT value FROM json_each(?))"},
		{&s.reads.counts, countsSQL},
		{&s.reads.workers, workersSQL},
		{&s.reads.last, fmt.Sprintf("SELECT coalesce(max(seq), 0) FROM tasks WHERE seq <= %d", int64(rules.MaxSeq))},
		{&s.reads.live, liveSQL},
		{&s.reads.liveDense, liveDenseSQL},
		{&s.reads.liveEnd, liveEndSQL},
		{&s.reads.tombstones, "SELECT id, spec_hash, until FROM tombstones WHERE id IN (SELECT value FROM json_each(?))"},
	} {
		stmt, err := s.r.PreparexContext(ctx, p.sql)
		if err != nil {
			return err
		}
		*p.to = stmt
	}
	return nil
}

// Backend implements [repo.BackendNamer].
func (s *Store) Backend() string { return "sqlite" }

// Close copies the WAL into the file and releases the lock. Later calls are
// refused with CodeUnavailable. A second Close does nothing.
func (s *Store) Close() error {
	if s.closed.Swap(true) {
		return nil
	}
	return errors.Join(s.snaps.Close(), s.disconnect(), s.lock.release())
}

// disconnect closes what is open of the connections, the reading ones first, so
// that nothing holds the WAL.
func (s *Store) disconnect() error {
	var errs []error
	if s.r != nil {
		errs = append(errs, s.r.Close())
	}
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	if s.w.conn != nil {
		_, err := s.w.conn.ExecContext(context.Background(), "PRAGMA wal_checkpoint(TRUNCATE)")
		errs = append(errs, explainError("close store", err), s.w.release())
	}
	if s.w.db != nil {
		errs = append(errs, s.w.db.Close())
	}
	return errors.Join(errs...)
}

// Commit implements [repo.Committer]. It does not begin if ctx is done, and once begun
// it completes. The error is CodeUnavailable if the disk is full, fails or is
// read-only, and CodeInternal if the batch contradicts the store. The next commit
// succeeds when the cause is gone.
func (s *Store) Commit(ctx context.Context, b *model.Batch) error {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	if err := rules.CheckCommit(ctx, &s.closed, b); err != nil {
		return err
	}
	if err := s.w.commit(ctx, b); err != nil {
		return explainError("commit", err)
	}
	s.w.truncateWAL(ctx)
	return nil
}

// read runs f unless the store is closed, and explains its error.
func (s *Store) read(op string, f func() error) error {
	if s.closed.Load() {
		return rules.ClosedError(op)
	}
	err := f()
	if err != nil && s.closed.Load() {
		return rules.ClosedError(op)
	}
	return explainError(op, err)
}

// Tasks implements [repo.Reader].
func (s *Store) Tasks(ctx context.Context, ids []string) (map[string]*model.Task, error) {
	var found map[string]*model.Task
	err := s.read("tasks", func() error {
		list, err := json.Marshal(ids)
		if err != nil {
			return err
		}
		rows, err := s.reads.tasks.QueryxContext(ctx, string(list))
		tasks, err := fullView.scanAll(rows, err)
		found = rules.ByID(tasks)
		return err
	})
	return found, err
}

// Counts implements [repo.Reader].
func (s *Store) Counts(ctx context.Context) (model.Counts, error) {
	counts := make(model.Counts, len(model.Statuses))
	err := s.read("counts", func() error {
		var rows []struct {
			Status model.Status
			N      int64
		}
		err := s.reads.counts.SelectContext(ctx, &rows)
		for _, row := range rows {
			counts[row.Status] = row.N
		}
		return err
	})
	return counts, err
}

// Workers implements [repo.Loader].
func (s *Store) Workers(ctx context.Context) ([]*model.Worker, error) {
	var workers []*model.Worker
	err := s.read("workers", func() error {
		var rows []workerRow
		if err := s.reads.workers.SelectContext(ctx, &rows); err != nil {
			return err
		}
		workers = workersOf(rows)
		return nil
	})
	return workers, err
}

// LastSeq implements [repo.Loader].
func (s *Store) LastSeq(ctx context.Context) (seq int64, err error) {
	err = s.read("last seq", func() error { return s.reads.last.GetContext(ctx, &seq) })
	return seq, err
}
