package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"iter"
	"maps"
	"net/url"

	"github.com/jmoiron/sqlx"

	"github.com/aria-cluster/dispatcher/pkg/model"
	"github.com/aria-cluster/dispatcher/pkg/repo"
	"github.com/aria-cluster/dispatcher/pkg/repo/internal/rules"
)

// snapshot is one read transaction on a connection of its own.
type snapshot struct {
	db     *sqlx.DB
	tx     *sqlx.Tx
	counts model.Counts
	remove func() // from those of the store
}

// Snapshot implements [repo.Snapshotter]. While it is open, the WAL grows with each
// commit.
func (s *Store) Snapshot(ctx context.Context) (repo.Snapshot, error) {
	if s.closed.Load() {
		return nil, rules.ClosedError("snapshot")
	}
	snap, err := newSnapshot(ctx, s.path, url.Values{"mode": {"ro"}})
	if err != nil {
		return nil, explainError("snapshot", err)
	}
	if snap.remove = s.snaps.Add(snap.end); snap.remove == nil {
		return nil, errors.Join(rules.ClosedError("snapshot"), snap.end())
	}
	return snap, nil
}

// newSnapshot begins a read transaction on the file at path.
func newSnapshot(ctx context.Context, path string, options url.Values) (*snapshot, error) {
	options = maps.Clone(options)
	options["_pragma"] = readerPragmas
	db, err := connect(path, options, 1)
	if err != nil {
		return nil, err
	}
	s := &snapshot{db: db}
	// The transaction outlives this call: only its reads end with their context.
	if s.tx, err = db.BeginTxx(context.WithoutCancel(ctx), nil); err == nil {
		// The moment is that of the first read.
		s.counts, err = counts(ctx, s.tx)
	}
	if err != nil {
		return nil, errors.Join(err, s.end())
	}
	return s, nil
}

// counts reads the counters.
func counts(ctx context.Context, q sqlx.QueryerContext) (model.Counts, error) {
	var rows []struct {
		Status model.Status
		N      int64
	}
	if err := sqlx.SelectContext(ctx, q, &rows, countsSQL); err != nil {
		return nil, err
	}
	c := make(model.Counts, len(model.Statuses))
	for _, row := range rows {
		c[row.Status] = row.N
	}
	return c, nil
}

// fail gives an error of a read its name, or says that the snapshot has ended.
func (s *snapshot) fail(err error) error {
	if err != nil && (errors.Is(err, sql.ErrTxDone) || errors.Is(err, sql.ErrConnDone)) {
		return rules.ClosedError("snapshot")
	}
	return explainError("snapshot", err)
}

// Tasks implements [repo.Snapshot]. It streams: one row is in memory at a time.
func (s *snapshot) Tasks(ctx context.Context, after int64) iter.Seq2[*model.Task, error] {
	return func(yield func(*model.Task, error) bool) {
		rows, err := s.tx.QueryxContext(ctx, "SELECT "+fullView.columns()+" FROM tasks NOT INDEXED WHERE seq > ? ORDER BY seq", after)
		if err != nil {
			yield(nil, s.fail(err))
			return
		}
		defer rows.Close() //nolint:errcheck // Err has said all
		for rows.Next() {
			t, err := fullView.scan(rows)
			if err == nil {
				err = rules.WholeTask(t)
			}
			if err != nil {
				yield(nil, s.fail(err))
				return
			}
			if !yield(t, nil) {
				return
			}
		}
		if err := rows.Err(); err != nil {
			yield(nil, s.fail(err))
		}
	}
}

// Workers implements [repo.Snapshot].
func (s *snapshot) Workers(ctx context.Context) ([]*model.Worker, error) {
	var held []struct {
		ID       string `db:"id"`
		WorkerID string `db:"worker_id"`
	}
	if err := s.tx.SelectContext(ctx, &held, "SELECT id, worker_id FROM tasks INDEXED BY tasks_worker WHERE worker_id <> ''"); err != nil {
		return nil, s.fail(err)
	}
	tasks := make(map[string][]string)
	for _, h := range held {
		tasks[h.WorkerID] = append(tasks[h.WorkerID], h.ID)
	}
	var rows []workerRow
	if err := s.tx.SelectContext(ctx, &rows, workersSQL); err != nil {
		return nil, s.fail(err)
	}
	workers := workersOf(rows)
	if err := rules.WholeWorkers(workers); err != nil {
		return nil, s.fail(err)
	}
	for i, w := range workers {
		workers[i] = rules.WithCurrentTasks(w, tasks[w.ID])
	}
	return workers, nil
}

// Counts implements [repo.Snapshot].
func (s *snapshot) Counts(ctx context.Context) (model.Counts, error) {
	c, err := counts(ctx, s.tx)
	return c, s.fail(err)
}

// Close implements [repo.Snapshot].
func (s *snapshot) Close() error {
	if s.remove != nil { // only a snapshot of a store has it
		s.remove()
	}
	return s.end()
}

// end gives the connection back.
func (s *snapshot) end() error {
	var errs []error
	if s.tx != nil {
		if err := s.tx.Rollback(); !errors.Is(err, sql.ErrTxDone) {
			errs = append(errs, err)
		}
	}
	return errors.Join(append(errs, s.db.Close())...)
}
