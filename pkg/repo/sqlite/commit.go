package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"log/slog"
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

// maxStatements bounds the prepared statements: a load has a dozen, but there
// could be one for each mixture of what changes and what is zero.
const maxStatements = 200

// writer is the one connection that writes, with its prepared statements. These
// are the driver's own: database/sql would take 5% of a commit for locks and for
// looking at each value.
type writer struct {
	db     *sqlx.DB // of one connection
	mu     sync.Mutex
	conn   *sqlx.Conn // nil after a failure that left its state unknown
	stmts  map[statement]driver.Stmt
	bare   driver.ConnPrepareContext // the driver's side of conn, while a commit runs
	values binder

	log      *slog.Logger
	wal      string    // the WAL's path
	walLimit int64     // bytes from which on it is shortened
	walTried time.Time // when that last failed
	walRetry time.Duration
}

// commit writes the batch in one transaction.
func (w *writer) commit(ctx context.Context, b *model.Batch) error {
	// From here on the commit is seen through: an interrupted COMMIT would leave
	// its outcome unknown for nothing.
	ctx = context.WithoutCancel(ctx)
	if err := w.connect(ctx); err != nil {
		return err
	}
	clean := false
	err := w.conn.Raw(func(conn any) (err error) {
		w.bare = conn.(driver.ConnPrepareContext)
		clean, err = w.transaction(ctx, b)
		w.bare = nil
		return err
	})
	if !clean {
		return errors.Join(err, w.discardConnection())
	}
	return err
}

// transaction writes the batch, all or nothing. After an error it reports whether the
// connection is clean.
func (w *writer) transaction(ctx context.Context, b *model.Batch) (clean bool, err error) {
	_, err = w.exec(ctx, statement{kind: beginTransaction})
	if err == nil {
		err = w.write(ctx, b)
	}
	if err == nil {
		_, err = w.exec(ctx, statement{kind: commitTransaction})
	}
	if err == nil {
		return true, nil
	}
	// A full disk and some other failures end the transaction by themselves.
	// After any other trouble with the rollback only a new connection is clean
	// for sure.
	_, failed := w.exec(ctx, statement{kind: rollbackTransaction})
	return failed == nil || strings.Contains(failed.Error(), "no transaction is active"), err
}

// connect takes a connection unless the writer has one.
func (w *writer) connect(ctx context.Context) error {
	if w.conn != nil {
		return nil
	}
	conn, err := w.db.Connx(ctx)
	if err != nil {
		return err
	}
	w.conn, w.stmts = conn, make(map[statement]driver.Stmt)
	return nil
}

// release gives the connection back.
func (w *writer) release() error {
	if w.conn == nil {
		return nil
	}
	err := w.conn.Raw(func(any) error { return w.closeStatements() })
	err = errors.Join(err, w.conn.Close())
	w.conn = nil
	return err
}

// discardConnection throws the connection away; the next commit opens another one.
func (w *writer) discardConnection() error {
	if w.conn == nil {
		return nil
	}
	err := w.conn.Raw(func(any) error {
		_ = w.closeStatements() // the connection that they belong to goes anyway
		return driver.ErrBadConn
	})
	w.conn = nil
	if errors.Is(err, driver.ErrBadConn) {
		return nil
	}
	return err
}

func (w *writer) closeStatements() error {
	var errs []error
	for _, stmt := range w.stmts {
		errs = append(errs, stmt.Close())
	}
	clear(w.stmts)
	return errors.Join(errs...)
}

func (w *writer) prepare(ctx context.Context, s statement) (driver.Stmt, error) {
	if stmt := w.stmts[s]; stmt != nil {
		return stmt, nil
	}
	if len(w.stmts) >= maxStatements {
		if err := w.closeStatements(); err != nil {
			return nil, err
		}
	}
	stmt, err := w.bare.PrepareContext(ctx, s.sql())
	if err != nil {
		return nil, fmt.Errorf("prepare: %w", err)
	}
	w.stmts[s] = stmt
	return stmt, nil
}

// exec runs a statement with these values and returns the number of rows that it
// changed.
func (w *writer) exec(ctx context.Context, s statement, values ...driver.Value) (int64, error) {
	w.values.start(values...)
	return w.run(ctx, s)
}

// run is exec with the values that were gathered.
func (w *writer) run(ctx context.Context, s statement) (int64, error) {
	stmt, err := w.prepare(ctx, s)
	if err != nil {
		return 0, err
	}
	result, err := stmt.(driver.StmtExecContext).ExecContext(ctx, w.values.args)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

// query returns the text of the first row of a query, "" without rows.
func (w *writer) query(ctx context.Context, s statement, values ...driver.Value) (string, error) {
	stmt, err := w.prepare(ctx, s)
	if err != nil {
		return "", err
	}
	w.values.start(values...)
	rows, err := stmt.(driver.StmtQueryContext).QueryContext(ctx, w.values.args)
	if err != nil {
		return "", err
	}
	defer rows.Close() //nolint:errcheck // it has been read
	var row [1]driver.Value
	if err := rows.Next(row[:]); errors.Is(err, io.EOF) {
		return "", nil
	} else if err != nil {
		return "", err
	}
	text, _ := row[0].(string)
	return text, nil
}

// write makes the changes of the batch, inside the transaction.
func (w *writer) write(ctx context.Context, b *model.Batch) error {
	var inserts []*model.Task
	for i := range b.Tasks {
		if c := &b.Tasks[i]; c.From == "" && c.Put != nil {
			inserts = append(inserts, c.Put)
		}
	}
	if err := w.insertAll(ctx, inserts); err != nil {
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
		if _, err := w.exec(ctx, statement{kind: deleteTombstones}, int64(b.Forget)); err != nil {
			return err
		}
	}
	return w.count(ctx, b.Tasks)
}

func (w *writer) insertAll(ctx context.Context, tasks []*model.Task) error {
	for len(tasks) > 0 {
		binds, n := rowGroups(tasks[0]), 1
		for n < len(tasks) && rowGroups(tasks[n]) == binds {
			n++
		}
		if err := w.insertSameGroups(ctx, tasks[:n], binds); err != nil {
			return err
		}
		tasks = tasks[n:]
	}
	return nil
}

// insertSameGroups inserts tasks that bind the same groups of columns.
func (w *writer) insertSameGroups(ctx context.Context, tasks []*model.Task, binds set) error {
	for len(tasks) > 0 {
		n := 0
		for _, n = range insertSizes {
			if n <= len(tasks) {
				break
			}
		}
		w.values.start()
		for _, t := range tasks[:n] {
			w.values.task(t, binds)
		}
		if _, err := w.run(ctx, statement{kind: insertTasks, rows: n, binds: binds}); err != nil {
			if primaryCode(err) == lib.SQLITE_CONSTRAINT {
				return w.findClash(ctx, tasks[:n], err)
			}
			return err
		}
		tasks = tasks[n:]
	}
	return nil
}

// findClash finds out which of the new rows cannot be inserted.
func (w *writer) findClash(ctx context.Context, tasks []*model.Task, cause error) error {
	for _, t := range tasks {
		if have, err := w.query(ctx, statement{kind: selectTaken}, t.ID, t.Seq); err == nil && have != "" {
			return rules.RefusedError(t.ID, "task %s (seq %d): task %s is there already", t.ID, t.Seq, have)
		}
	}
	return rules.RefusedError(tasks[0].ID, "new tasks from %s on: %v", tasks[0].ID, cause)
}

// change updates, replaces or deletes a row that must be as From says.
func (w *writer) change(ctx context.Context, c *model.TaskChange, scratch *model.Task) error {
	var s statement
	switch {
	case c.Delete && c.From == "": // born and deleted in the same batch
		have, err := w.status(ctx, c.ID)
		if err == nil && have != "" {
			err = rules.MismatchError(c.ID, "", have)
		}
		return err
	case c.Delete:
		if c.Keep != 0 {
			if _, err := w.exec(ctx, statement{kind: insertTombstone}, int64(c.Keep), c.ID, string(c.From)); err != nil {
				return err
			}
		}
		s = statement{kind: deleteTask}
		w.values.start(c.ID, string(c.From))
	case c.Put != nil:
		s = statement{kind: replaceTask}
		w.values.start()
		w.values.task(c.Put, everyGroup&^keys)
		w.values.text(c.ID)
		w.values.text(string(c.From))
		w.values.integer(c.Put.Seq)
	default:
		s = w.set(c, scratch)
	}
	n, err := w.run(ctx, s)
	if err != nil || n == 1 {
		return err
	}
	have, err := w.status(ctx, c.ID)
	switch {
	case err != nil:
		return err
	case have != c.From:
		return rules.MismatchError(c.ID, c.From, have)
	}
	return rules.RefusedError(c.ID, "task %s: its seq is not %d", c.ID, rowSeq(c))
}

// set gathers the values of an update of a row's state, by way of scratch, and
// returns its statement.
func (w *writer) set(c *model.TaskChange, scratch *model.Task) statement {
	scratch.TaskState = c.State
	writes := fieldGroups(c.Set)
	binds := writes.nonzeroGroups(scratch)
	w.values.start()
	w.values.task(scratch, binds)
	by := updateTask
	if c.Seq != 0 {
		by = updateTaskBySeq
		w.values.integer(c.Seq)
	}
	w.values.text(c.ID)
	w.values.text(string(c.From))
	return statement{kind: by, writes: writes, binds: binds}
}

// status returns the status of a task, "" if it is not there.
func (w *writer) status(ctx context.Context, id string) (model.Status, error) {
	have, err := w.query(ctx, statement{kind: selectStatus}, id)
	return model.Status(have), err
}

func (w *writer) worker(ctx context.Context, c *model.WorkerChange) error {
	if c.Put == nil {
		_, err := w.exec(ctx, statement{kind: deleteWorker}, c.ID)
		return err
	}
	if err := w.values.worker(c.Put); err != nil {
		return err
	}
	_, err := w.run(ctx, statement{kind: putWorker})
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
	w.values.start()
	for _, d := range deltas {
		w.values.integer(d)
	}
	n, err := w.run(ctx, statement{kind: countTasks})
	if err == nil && n != int64(len(model.Statuses)) {
		err = fmt.Errorf("the table counters has %d rows, not %d", n, len(model.Statuses))
	}
	return err
}

// rowSeq is the seq that a change says its row has.
func rowSeq(c *model.TaskChange) int64 {
	if c.Put != nil {
		return c.Put.Seq
	}
	return c.Seq
}
