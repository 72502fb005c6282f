package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jmoiron/sqlx"
	lib "modernc.org/sqlite/lib"

	"github.com/aria-cluster/dispatcher/pkg/model"
	"github.com/aria-cluster/dispatcher/pkg/repo/internal/rules"
)

// insertSizes are the numbers of rows for which an INSERT is prepared: new rows
// are written with the largest that fits, again and again.
var insertSizes = []int{64, 8, 1}

// writer is the one connection that writes, with its prepared statements. It
// stands outside database/sql's transactions: a commit then costs neither a
// search for each statement's twin nor a goroutine that watches the context.
type writer struct {
	db    *sqlx.DB // of one connection
	mu    sync.Mutex
	conn  *sqlx.Conn // nil after a failure that left its state unknown
	stmts map[statement]*sqlx.Stmt
	args  []any // reused

	log      *slog.Logger
	wal      string    // the WAL's path
	walLimit int64     // bytes from which on it is shortened
	walTried time.Time // when that last failed
	walRetry time.Duration
}

// statement names a prepared statement: n is the number of rows of an insert, or
// the mask of an update. The engine uses a handful of masks, of 4,095 that there
// could be.
type statement struct {
	kind kind
	n    int
}

type kind uint8

const (
	begin kind = iota
	commit
	rollback
	insert
	update
	replace
	remove
	status
	count
	putWorker
	deleteWorker
	bury
	forget
)

func (s statement) sql() string {
	switch s.kind {
	case begin:
		return "BEGIN IMMEDIATE"
	case commit:
		return "COMMIT"
	case rollback:
		return "ROLLBACK"
	case insert:
		return insertSQL(s.n)
	case update:
		return updateSQL(func(g *group) bool { return g.field&model.Fields(s.n) != 0 })
	case replace:
		return updateSQL(exceptKeys) + " AND seq=?"
	case remove:
		return "DELETE FROM tasks WHERE id=? AND status=?"
	case status:
		return "SELECT status FROM tasks WHERE id=?"
	case count:
		return "UPDATE counters SET n = n + CASE status" +
			strings.Repeat(" WHEN ? THEN ?", len(model.Statuses)) + " ELSE 0 END"
	case putWorker:
		return putWorkerSQL
	case deleteWorker:
		return deleteWorkerSQL
	case bury:
		return "INSERT OR REPLACE INTO tombstones (id, spec_hash, until) SELECT id, spec_hash, ? FROM tasks WHERE id=? AND status=?"
	case forget:
		return "DELETE FROM tombstones WHERE id IN (SELECT id FROM tombstones WHERE until <= ? ORDER BY until, id LIMIT " +
			strconv.Itoa(model.MaxForget) + ")"
	}
	panic("sqlite: a statement without text") // only constants of this file get here
}

// commit writes the batch in one transaction.
func (w *writer) commit(ctx context.Context, b *model.Batch) error {
	// From here on the commit is seen through: an interrupted COMMIT would leave
	// its outcome unknown for nothing.
	ctx = context.WithoutCancel(ctx)
	if err := w.connect(ctx); err != nil {
		return err
	}
	_, err := w.exec(ctx, statement{kind: begin})
	if err == nil {
		err = w.write(ctx, b)
	}
	if err == nil {
		_, err = w.exec(ctx, statement{kind: commit})
	}
	if err == nil {
		return nil
	}
	// A full disk and some other failures end the transaction by themselves.
	// After any other trouble with the rollback only a new connection is clean
	// for sure.
	_, failed := w.exec(ctx, statement{kind: rollback})
	if failed != nil && !strings.Contains(failed.Error(), "no transaction is active") {
		return errors.Join(err, w.abandon())
	}
	return err
}

// connect takes the connection, if there is none.
func (w *writer) connect(ctx context.Context) error {
	if w.conn != nil {
		return nil
	}
	conn, err := w.db.Connx(ctx)
	if err != nil {
		return err
	}
	w.conn, w.stmts = conn, make(map[statement]*sqlx.Stmt)
	return nil
}

// release gives the connection back.
func (w *writer) release() error {
	if w.conn == nil {
		return nil
	}
	var errs []error
	for _, stmt := range w.stmts {
		errs = append(errs, stmt.Close())
	}
	errs = append(errs, w.conn.Close())
	w.conn, w.stmts = nil, nil
	return errors.Join(errs...)
}

// abandon throws the connection away; the next commit opens another one.
func (w *writer) abandon() error {
	if w.conn == nil {
		return nil
	}
	for _, stmt := range w.stmts {
		_ = stmt.Close() // the connection that it belongs to goes anyway
	}
	err := w.conn.Raw(func(any) error { return driver.ErrBadConn })
	w.conn, w.stmts = nil, nil
	if errors.Is(err, driver.ErrBadConn) {
		return nil
	}
	return err
}

func (w *writer) prepare(ctx context.Context, s statement) (*sqlx.Stmt, error) {
	if stmt := w.stmts[s]; stmt != nil {
		return stmt, nil
	}
	stmt, err := w.conn.PreparexContext(ctx, s.sql())
	if err != nil {
		return nil, fmt.Errorf("prepare: %w", err)
	}
	w.stmts[s] = stmt
	return stmt, nil
}

// exec runs a statement and returns the number of rows that it changed.
func (w *writer) exec(ctx context.Context, s statement, args ...any) (int64, error) {
	stmt, err := w.prepare(ctx, s)
	if err != nil {
		return 0, err
	}
	result, err := stmt.ExecContext(ctx, args...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

// write makes the changes of the batch, inside the transaction.
func (w *writer) write(ctx context.Context, b *model.Batch) error {
	var fresh []*model.Task
	for i := range b.Tasks {
		if c := &b.Tasks[i]; c.From == "" && c.Put != nil {
			fresh = append(fresh, c.Put)
		}
	}
	if err := w.insertAll(ctx, fresh); err != nil {
		return err
	}
	var scratch model.Task // holds the state of a Set for the groups, which read tasks
	for i := range b.Tasks {
		if c := &b.Tasks[i]; c.From != "" || c.Put == nil {
			if err := w.change(ctx, c, &scratch); err != nil {
				return err
			}
		}
	}
	for i := range b.Workers {
		if err := w.worker(ctx, &b.Workers[i]); err != nil {
			return err
		}
	}
	if b.Forget != 0 {
		if _, err := w.exec(ctx, statement{kind: forget}, int64(b.Forget)); err != nil {
			return err
		}
	}
	return w.count(ctx, b.Tasks)
}

func (w *writer) insertAll(ctx context.Context, tasks []*model.Task) error {
	for len(tasks) > 0 {
		n := 0
		for _, n = range insertSizes {
			if n <= len(tasks) {
				break
			}
		}
		args := w.args[:0]
		for _, t := range tasks[:n] {
			var err error
			if args, err = appendValues(args, t, every); err != nil {
				return err
			}
		}
		w.args = args
		if _, err := w.exec(ctx, statement{insert, n}, args...); err != nil {
			if primary(err) == lib.SQLITE_CONSTRAINT {
				return w.clash(ctx, tasks[:n], err)
			}
			return err
		}
		tasks = tasks[n:]
	}
	return nil
}

// clash finds out which of the new rows cannot be inserted.
func (w *writer) clash(ctx context.Context, tasks []*model.Task, cause error) error {
	for _, t := range tasks {
		var have string
		err := w.conn.GetContext(ctx, &have, "SELECT id FROM tasks WHERE id=? OR seq=?", t.ID, t.Seq)
		if err == nil {
			return rules.Refused(t.ID, "task %s (seq %d): task %s is there already", t.ID, t.Seq, have)
		}
	}
	return rules.Refused(tasks[0].ID, "new tasks from %s on: %v", tasks[0].ID, cause)
}

// change updates, replaces or deletes a row that must be as From says.
func (w *writer) change(ctx context.Context, c *model.TaskChange, scratch *model.Task) error {
	var s statement
	args, err := w.args[:0], error(nil)
	switch {
	case c.Delete && c.From == "": // born and deleted in the same batch
		have, err := w.status(ctx, c.ID)
		if err == nil && have != "" {
			err = rules.Mismatch(c.ID, "", have)
		}
		return err
	case c.Delete:
		if c.Keep != 0 {
			_, err = w.exec(ctx, statement{kind: bury}, int64(c.Keep), c.ID, string(c.From))
		}
		s = statement{kind: remove}
		args = append(args, c.ID, string(c.From))
	case c.Put != nil:
		s = statement{kind: replace}
		args, err = appendValues(args, c.Put, exceptKeys)
		args = append(args, c.ID, string(c.From), c.Put.Seq)
	default:
		s = statement{update, int(c.Set)}
		scratch.ID, scratch.TaskState = c.ID, c.State
		args, err = appendValues(args, scratch, func(g *group) bool { return g.field&c.Set != 0 })
		args = append(args, c.ID, string(c.From))
	}
	if err != nil {
		return err
	}
	w.args = args
	n, err := w.exec(ctx, s, args...)
	if err != nil || n == 1 {
		return err
	}
	have, err := w.status(ctx, c.ID)
	switch {
	case err != nil:
		return err
	case have != c.From:
		return rules.Mismatch(c.ID, c.From, have)
	}
	return rules.Refused(c.ID, "task %s: its seq is not %d", c.ID, c.Put.Seq)
}

// status returns the status of a task, "" if it is not there.
func (w *writer) status(ctx context.Context, id string) (model.Status, error) {
	stmt, err := w.prepare(ctx, statement{kind: status})
	if err != nil {
		return "", err
	}
	var have []model.Status
	if err := stmt.SelectContext(ctx, &have, id); err != nil || len(have) == 0 {
		return "", err
	}
	return have[0], nil
}

func (w *writer) worker(ctx context.Context, c *model.WorkerChange) error {
	if c.Put == nil {
		_, err := w.exec(ctx, statement{kind: deleteWorker}, c.ID)
		return err
	}
	args, err := appendWorker(w.args[:0], c.Put)
	if err != nil {
		return err
	}
	w.args = args
	_, err = w.exec(ctx, statement{kind: putWorker}, args...)
	return err
}

// count adds what the changes mean to the counters.
func (w *writer) count(ctx context.Context, changes []model.TaskChange) error {
	deltas := make([]int64, len(model.Statuses))
	moved := false
	for i := range changes {
		if from, to := changes[i].From.Index(), changes[i].To().Index(); from != to {
			moved = true
			if from >= 0 {
				deltas[from]--
			}
			if to >= 0 {
				deltas[to]++
			}
		}
	}
	if !moved {
		return nil
	}
	args := w.args[:0]
	for i, s := range model.Statuses {
		args = append(args, string(s), deltas[i])
	}
	w.args = args
	n, err := w.exec(ctx, statement{kind: count}, args...)
	if err == nil && n != int64(len(model.Statuses)) {
		err = fmt.Errorf("the table counters has %d rows, not %d", n, len(model.Statuses))
	}
	return err
}
