package postgres

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/aria-cluster/dispatcher/pkg/model"
	"github.com/aria-cluster/dispatcher/pkg/repo/internal/rules"
)

// statusColumns are the columns of the table counters.
var statusColumns = func() string {
	list := make([]string, len(model.Statuses))
	for i, s := range model.Statuses {
		list[i] = string(s)
	}
	return strings.Join(list, ", ")
}()

// sumsSQL selects the sums of the columns of counters.
var sumsSQL = "coalesce(sum(" + strings.ReplaceAll(statusColumns, ", ", "), 0)::bigint, coalesce(sum(") + "), 0)::bigint"

// tasksSQL selects tasks by their ids.
var tasksSQL = "SELECT " + fullView.sql + " FROM tasks WHERE id = ANY($1)"

var lastSeqSQL = fmt.Sprintf("SELECT coalesce(max(seq), 0) FROM tasks WHERE seq <= %d", int64(rules.MaxSeq))

// Tasks implements [repo.Reader].
func (s *Store) Tasks(ctx context.Context, ids []string) (map[string]*model.Task, error) {
	var found map[string]*model.Task
	err := s.readSettled(ctx, "tasks", func(ctx context.Context) error {
		tasks, err := fullView.all(ctx, s.r, tasksSQL, escapeAll(ids))
		found = rules.ByID(tasks)
		return err
	})
	return found, err
}

// Counts implements [repo.Reader]. It sums up the differences of the last commits.
func (s *Store) Counts(ctx context.Context) (counts model.Counts, err error) {
	err = s.readLong(ctx, "counts", func(ctx context.Context, conn *pgxpool.Conn) error {
		from := s.w.position.get()
		if from == 0 {
			var server int64
			if err := conn.QueryRow(ctx, firstCountSQL).Scan(&from, &server); err != nil {
				return err
			}
			s.w.position.found(server, from)
		}
		counts, err = selectCounts(ctx, conn, from)
		return err
	})
	return counts, err
}

// startedSQL tells two servers, and two starts of one, apart.
const startedSQL = "(extract(epoch FROM pg_postmaster_start_time()) * 1000000)::bigint"

// firstCountSQL selects the first row of counters, and which server has it.
const firstCountSQL = "SELECT coalesce(min(at), 0), " + startedSQL + " FROM counters"

func selectCounts(ctx context.Context, q queryer, position int64) (model.Counts, error) {
	sums := make([]int64, len(model.Statuses))
	to := make([]any, len(sums))
	for i := range sums {
		to[i] = &sums[i]
	}
	if err := q.QueryRow(ctx, "SELECT "+sumsSQL+" FROM counters WHERE at >= $1", position).Scan(to...); err != nil {
		return nil, err
	}
	counts := make(model.Counts, len(sums))
	for i, status := range model.Statuses {
		counts[status] = sums[i]
	}
	return counts, nil
}

// Workers implements [repo.Loader].
func (s *Store) Workers(ctx context.Context) (workers []*model.Worker, err error) {
	err = s.load(ctx, "workers", func(ctx context.Context, conn *pgxpool.Conn) error {
		workers, err = workerView.all(ctx, conn, workersSQL)
		return err
	})
	return workers, err
}

// workersSQL selects all workers.
var workersSQL = "SELECT " + workerView.sql + " FROM workers ORDER BY id"

// selectWorkers reads all workers for a copy, whole.
func selectWorkers(ctx context.Context, q rowsQueryer) ([]*model.Worker, error) {
	workers, err := workerView.all(ctx, q, workersSQL)
	if err == nil {
		err = rules.WholeWorkers(workers)
	}
	return workers, err
}

// LastSeq implements [repo.Loader].
func (s *Store) LastSeq(ctx context.Context) (seq int64, err error) {
	err = s.load(ctx, "last seq", func(ctx context.Context, conn *pgxpool.Conn) error {
		return conn.QueryRow(ctx, lastSeqSQL).Scan(&seq)
	})
	return seq, err
}

// Size returns the bytes of the database on the disk of the server.
func (s *Store) Size(ctx context.Context) (bytes int64, err error) {
	err = s.read(ctx, "size", func(ctx context.Context) error {
		return s.r.QueryRow(ctx, "SELECT pg_database_size(current_database())").Scan(&bytes)
	})
	return bytes, err
}

// errUnsettled is the answer of reads while the outcome of a commit is unknown; explainError
// adds [repo.ErrUnsettled] to its chain.
var errUnsettled = model.Errorf(model.CodeUnavailable, "PostgreSQL has not confirmed the last commit yet, and what it would show may be lost: try again")

// readSettled is read for what clients see. It refuses while the outcome of a commit is
// unknown: the server may show rows that no synchronous standby has. The look after the read
// covers a commit that has failed meanwhile.
func (s *Store) readSettled(ctx context.Context, op string, f func(context.Context) error) error {
	return s.read(ctx, op, func(ctx context.Context) error {
		if s.w.unsettled.Load() {
			return errUnsettled
		}
		err := f(ctx)
		if err == nil && s.w.unsettled.Load() {
			err = errUnsettled
		}
		return err
	})
}

// load is readLong for what the engine starts with: a commit of unknown outcome is waited for
// first.
func (s *Store) load(ctx context.Context, op string, f func(context.Context, *pgxpool.Conn) error) error {
	if err := s.read(ctx, op, s.settle); err != nil {
		return err
	}
	return s.readLong(ctx, op, f)
}

// settle waits for a commit of unknown outcome, if there is one.
func (s *Store) settle(ctx context.Context) error {
	if !s.w.unsettled.Load() {
		return nil
	}
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	return s.w.settle(ctx, s)
}
