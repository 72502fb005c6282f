package postgres

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/aria-cluster/dispatcher/pkg/model"
	"github.com/aria-cluster/dispatcher/pkg/repo"
	"github.com/aria-cluster/dispatcher/pkg/repo/internal/rules"
)

// snapshot is one REPEATABLE READ transaction on a connection of its own. It is for one
// goroutine at a time, except for end.
type snapshot struct {
	conn   *pgx.Conn
	counts model.Counts
	remove func()      // from those of the store
	ended  atomic.Bool // by its Close or that of the store
}

// snapshotIdle is how long a reader may pause between two reads of a snapshot.
const snapshotIdle = 15 * time.Minute

// Snapshot implements [repo.Snapshotter]. While it is open, PostgreSQL keeps every version
// of a row that changes. It is refused while the outcome of a commit is unknown: see errUnsettled.
func (s *Store) Snapshot(ctx context.Context) (repo.Snapshot, error) {
	if s.closed.Load() {
		return nil, rules.ClosedError("snapshot")
	}
	c, _ := s.connConfig()
	conn, err := s.connect(ctx, c)
	if err != nil {
		return nil, explainError("snapshot", err)
	}
	snap := &snapshot{conn: conn}
	if err := snap.begin(ctx, s); err != nil {
		return nil, explainError("snapshot", errors.Join(err, snap.end()))
	}
	if snap.remove = s.snaps.Add(snap.end); snap.remove == nil {
		return nil, errors.Join(rules.ClosedError("snapshot"), snap.end())
	}
	return snap, nil
}

func (s *snapshot) begin(ctx context.Context, store *Store) error {
	err := store.prepareSession(ctx, s.conn, fmt.Sprintf("idle_in_transaction_session_timeout = %d", snapshotIdle.Milliseconds()))
	if err == nil {
		_, err = s.conn.Exec(ctx, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
	}
	if err == nil { // the moment is that of the first read
		s.counts, err = selectCounts(ctx, s.conn, 0)
	}
	if err == nil && store.w.unsettled.Load() {
		err = errUnsettled
	}
	return err
}

// fail gives an error of a read its name, or says that the snapshot has ended.
func (s *snapshot) fail(ctx context.Context, err error) error {
	if err != nil && ctx.Err() == nil && s.ended.Load() {
		return rules.ClosedError("snapshot")
	}
	return explainError("snapshot", err)
}

// What is read at once: a caller may read something else from the snapshot between two tasks.
const (
	snapshotPage = 2000    // tasks
	snapshotSize = 8 << 20 // bytes of what may be large in them; the last task may exceed it
)

// snapshotSQL reads a page. PostgreSQL knows the length of a large value without reading it.
var snapshotSQL = "SELECT " + fullView.sql + " FROM (SELECT *, sum(size) OVER (ORDER BY seq ROWS UNBOUNDED PRECEDING) - size AS before FROM (SELECT " +
	fullView.sql + ", octet_length(torrent) + octet_length(metalink) + octet_length(url) + octet_length(mirrors) + octet_length(options)" +
	" + octet_length(tags) + octet_length(labels) + octet_length(history) AS size" +
	" FROM tasks WHERE seq > $1 ORDER BY seq LIMIT $2) AS next) AS summed WHERE before < $3 ORDER BY seq"

// Tasks implements [repo.Snapshot]. It reads page by page.
func (s *snapshot) Tasks(ctx context.Context, after int64) iter.Seq2[*model.Task, error] {
	return rules.Chunks(after, func(after int64) ([]*model.Task, error) { return s.page(ctx, after) })
}

// page returns the tasks that follow a seq, none at the end.
func (s *snapshot) page(ctx context.Context, after int64) ([]*model.Task, error) {
	if err := ctx.Err(); err != nil { // a read that it ends would end the snapshot too
		return nil, err
	}
	tasks, err := fullView.all(context.WithoutCancel(ctx), s.conn, snapshotSQL, after, snapshotPage, snapshotSize)
	for i := 0; i < len(tasks) && err == nil; i++ {
		err = rules.WholeTask(tasks[i])
	}
	return tasks, s.fail(ctx, err)
}

// heldSQL finds what workers hold by the partial indexes: active follows from a worker_id.
const heldSQL = "SELECT id, worker_id FROM tasks WHERE active AND worker_id <> ''"

// Workers implements [repo.Snapshot].
func (s *snapshot) Workers(ctx context.Context) ([]*model.Worker, error) {
	held := make(map[string][]string)
	var id, worker string
	rows, err := s.conn.Query(ctx, heldSQL)
	err = scanValues(rows, err, []any{&id, &worker}, func() {
		worker = unescapeText(worker)
		held[worker] = append(held[worker], unescapeText(id))
	})
	if err != nil {
		return nil, s.fail(ctx, err)
	}
	workers, err := selectWorkers(ctx, s.conn)
	for i, w := range workers {
		workers[i] = rules.WithCurrentTasks(w, held[w.ID])
	}
	return workers, s.fail(ctx, err)
}

// Counts implements [repo.Snapshot].
func (s *snapshot) Counts(ctx context.Context) (model.Counts, error) {
	if s.ended.Load() {
		return nil, rules.ClosedError("snapshot")
	}
	return s.counts, ctx.Err()
}

// end closes the connection, which ends the transaction.
func (s *snapshot) end() error {
	s.ended.Store(true)
	if s.conn.IsClosed() {
		return nil
	}
	closeBroken(s.conn)
	return nil
}

// Close implements [repo.Snapshot].
func (s *snapshot) Close() error {
	s.remove()
	return s.end()
}
