package postgres

import (
	"bytes"
	"context"
	"encoding/binary"
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

// The lease of an import.
const (
	importTTL   = 3 * time.Second
	importRenew = 500 * time.Millisecond
)

// Target is a database as the target of a copy that is as before or complete, at every
// moment: the copy is one transaction, which commits when it has been verified. holder
// names the program in the leader row, which it holds meanwhile: no dispatcher can write.
// A database that a dispatcher uses is CodeConflict with its name.
func Target(s *Store, holder string) repo.Target { return target{s, holder} }

type target struct {
	store  *Store
	holder string
}

// importWriter writes one copy.
type importWriter struct {
	repo.Writer
	tx      *importStore
	release func()
	ended   bool
}

// Begin implements [repo.Target].
func (t target) Begin(ctx context.Context, o repo.CopyOptions) (repo.Writer, error) {
	release, err := t.store.Hold(ctx, t.holder, importTTL, importRenew)
	if err != nil {
		return nil, err
	}
	w := &importWriter{release: release}
	err = func() error {
		if w.tx, err = beginImport(ctx, t.store); err != nil {
			return err
		}
		w.Writer, err = repo.StoreTarget(w.tx).Begin(ctx, o)
		return err
	}()
	if err != nil {
		return nil, errors.Join(explainError("import", err), w.end(ctx, "ROLLBACK"))
	}
	return w, nil
}

// Tasks implements [repo.Lookup].
func (w *importWriter) Tasks(ctx context.Context, ids []string) (map[string]*model.Task, error) {
	return w.tx.Tasks(ctx, ids)
}

// Finish implements [repo.Writer].
func (w *importWriter) Finish(ctx context.Context, want repo.Digest) (repo.Digest, error) {
	got, err := w.Writer.Finish(ctx, want)
	if err != nil || !got.Equal(want) {
		return got, err // the caller looks for what differs, then aborts
	}
	if _, err := w.tx.conn.Exec(ctx, frozenSQL, false); err != nil { // it is the store in use from now on
		return got, explainError("import", err)
	}
	return got, w.end(ctx, "COMMIT")
}

// Abort implements [repo.Writer].
func (w *importWriter) Abort(ctx context.Context) error { return w.end(ctx, "ROLLBACK") }

// end ends the transaction and gives the leader row back.
func (w *importWriter) end(ctx context.Context, how string) error {
	if w.ended {
		return nil
	}
	w.ended = true
	defer w.release()
	if w.tx == nil {
		return nil
	}
	var err error
	if !w.tx.conn.IsClosed() {
		w.tx.unconfirmed.Store(false)
		_, err = w.tx.conn.Exec(ctx, how)
	}
	if err == nil && w.tx.unconfirmed.Load() {
		err = errUnconfirmed
	}
	return errors.Join(explainError("import", err), w.tx.conn.Close(context.WithoutCancel(ctx)))
}

// importStore is the store inside one transaction. It implements [repo.TargetStore].
type importStore struct {
	conn  *pgx.Conn
	forms map[updateKey]*updateForm
	// unconfirmed is set by the server's warning that the commit is on this server alone.
	unconfirmed atomic.Bool
}

func beginImport(ctx context.Context, s *Store) (*importStore, error) {
	t := &importStore{forms: make(map[updateKey]*updateForm)}
	c, d := s.connConfig()
	c.OnNotice = noteUnconfirmed(&t.unconfirmed)
	conn, err := s.connect(ctx, c)
	if err != nil {
		return nil, err
	}
	t.conn = conn
	if err := s.prepareSession(ctx, conn, "idle_in_transaction_session_timeout = 0"); err != nil {
		return t, err
	}
	registerArrays(conn.TypeMap())
	d.lock()
	if _, err := conn.Exec(ctx, "BEGIN"); err != nil {
		return t, err
	}
	_, err = conn.Exec(ctx, fenceSQL, s.term.Load(), s.w.generation.Load())
	return t, err
}

// Commit implements [repo.Committer] inside the transaction. New tasks are sent by COPY.
func (t *importStore) Commit(ctx context.Context, b *model.Batch) error {
	if err := rules.CheckBatch(b); err != nil {
		return err
	}
	rest := model.Batch{Workers: b.Workers}
	var fresh []*model.Task
	for i := range b.Tasks {
		if c := &b.Tasks[i]; c.From == "" && c.Put != nil {
			fresh = append(fresh, c.Put)
		} else {
			rest.Tasks = append(rest.Tasks, *c)
		}
	}
	if err := t.copyIn(ctx, fresh); err != nil {
		return err
	}
	statements := transaction{forms: t.forms}
	if err := statements.write(&rest); err != nil {
		return err
	}
	counted := make([]model.TaskChange, len(fresh))
	for i, task := range fresh {
		counted[i] = model.TaskChange{ID: task.ID, Put: task}
	}
	statements.count(counted)
	if statements.b.Len() == 0 {
		return nil
	}
	return explainError("import", t.conn.SendBatch(ctx, &statements.b).Close())
}

// copySignature begins COPY's binary form, with no flags and no extension.
const copySignature = "PGCOPY\n\xff\r\n\x00\x00\x00\x00\x00\x00\x00\x00\x00"

var copySQL = "COPY tasks (" + fullView.sql + ", ended, shown_url) FROM STDIN BINARY"

// copyIn sends new rows.
func (t *importStore) copyIn(ctx context.Context, tasks []*model.Task) error {
	if len(tasks) == 0 {
		return nil
	}
	rows := &array{b: make([]byte, 0, 512*len(tasks))}
	rows.b = append(rows.b, copySignature...)
	for _, task := range tasks {
		rows.b = binary.BigEndian.AppendUint16(rows.b, uint16(len(taskColumns)+len(derivedNames)))
		for i := range taskColumns {
			if err := taskColumns[i].add(rows, task); err != nil {
				return taskError(task.ID, fmt.Errorf("its %s: %w", taskColumns[i].name, err))
			}
		}
		addDerived(rows, rows, task)
	}
	rows.b = append(rows.b, 0xff, 0xff)
	_, err := t.conn.PgConn().CopyFrom(ctx, bytes.NewReader(rows.b), copySQL)
	return explainError("import", err)
}

// Tasks implements [repo.TargetStore].
func (t *importStore) Tasks(ctx context.Context, ids []string) (map[string]*model.Task, error) {
	found := make(map[string]*model.Task, len(ids))
	tasks, err := fullView.all(ctx, t.conn, tasksSQL, textArray(ids))
	for _, task := range tasks {
		if err := rules.WholeTask(task); err != nil {
			return nil, explainError("import", err)
		}
		found[task.ID] = task
	}
	return found, explainError("import", err)
}

// Workers implements [repo.TargetStore].
func (t *importStore) Workers(ctx context.Context) ([]*model.Worker, error) {
	return selectWorkers(ctx, t.conn)
}

// Counts implements [repo.TargetStore].
func (t *importStore) Counts(ctx context.Context) (model.Counts, error) {
	return selectCounts(ctx, t.conn, 0)
}

// LastSeq implements [repo.TargetStore].
func (t *importStore) LastSeq(ctx context.Context) (seq int64, err error) {
	err = t.conn.QueryRow(ctx, lastSeqSQL).Scan(&seq)
	return seq, err
}

// Snapshot implements [repo.TargetStore]: what the transaction has written so far.
func (t *importStore) Snapshot(ctx context.Context) (repo.Snapshot, error) {
	counts, err := t.Counts(ctx)
	return importSnapshot{&snapshot{conn: t.conn, counts: counts}}, err
}

// importSnapshot is a snapshot that leaves the transaction open.
type importSnapshot struct{ s *snapshot }

func (i importSnapshot) Tasks(ctx context.Context, after int64) iter.Seq2[*model.Task, error] {
	return i.s.Tasks(ctx, after)
}

func (i importSnapshot) Workers(ctx context.Context) ([]*model.Worker, error) {
	return i.s.Workers(ctx)
}

func (i importSnapshot) Counts(ctx context.Context) (model.Counts, error) { return i.s.Counts(ctx) }

// Close implements [repo.Snapshot].
func (importSnapshot) Close() error { return nil }
