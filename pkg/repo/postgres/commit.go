package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/aria-cluster/dispatcher/pkg/model"
	"github.com/aria-cluster/dispatcher/pkg/repo/internal/rules"
)

// foldEvery is how often the counters are replaced by their sum.
const foldEvery = 10 * time.Second

// Commit implements [repo.Committer]. It does not begin if ctx is done, and once begun it
// is not canceled. [ErrFenced] means that another dispatcher leads, and that nothing was
// written. CodeUnavailable means that the outcome is unknown or that the server refuses
// writes; the next Live, Workers, LastSeq or Commit waits until it is known.
func (s *Store) Commit(ctx context.Context, b *model.Batch) error {
	if err := rules.CheckCommit(ctx, &s.closed, b); err != nil {
		return err
	}
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	if err := s.commit(ctx, b); err != nil {
		return explainError("commit", err)
	}
	return nil
}

// noteInserts notes the seqs of the rows that the batch inserts.
func (s *Store) noteInserts(b *model.Batch) {
	for i := range b.Tasks {
		if put := b.Tasks[i].Put; put != nil {
			s.low.inserting(put.Seq)
		}
	}
}

func (s *Store) commit(ctx context.Context, b *model.Batch) error {
	if err := s.ready(ctx); err != nil {
		return err
	}
	var position int64
	t := transaction{forms: s.w.forms}
	t.queue(fenceSQL, s.term.Load(), s.w.generation.Load())
	if err := t.write(b); err != nil {
		return err
	}
	s.noteInserts(b)
	defer s.noteInserts(b) // a look meanwhile did not see them
	if s.w.mayReplan(t.inserted) {
		t.queue("DISCARD PLANS") // for the next commit
	}
	fold := time.Since(s.w.folded) > foldEvery
	if fold {
		t.b.Queue(foldSQL, s.w.position.get()).QueryRow(func(row pgx.Row) error { return row.Scan(&position) })
	}
	err := s.w.run(ctx, &t.b, s.config.Timeout)
	var server *pgconn.PgError
	switch {
	case err == nil:
		s.mark.note(max(t.number, position))
		if fold {
			s.w.folded = time.Now()
			s.w.position.fold(position)
		}
	case errors.As(err, &server) && s.w.conn != nil && (server.Code == codeMismatch || server.Code == "23505"):
		return s.findMismatch(ctx, b, err)
	}
	return err
}

// ready connects, and waits for a commit of unknown outcome.
func (s *Store) ready(ctx context.Context) error {
	limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.config.Timeout)
	defer cancel()
	if err := s.w.settle(limited, s); err != nil {
		return err
	}
	return s.w.connect(limited, s)
}

// transaction gathers the statements of one commit.
type transaction struct {
	b        pgx.Batch
	forms    map[updateKey]*updateForm // the writer's
	inserted int
	number   int64 // of the commit, when it has run
}

func (t *transaction) queue(sql string, args ...any) { t.b.Queue(sql, args...) }

// write queues the changes of a batch.
func (t *transaction) write(b *model.Batch) error {
	var fresh, replaced []*model.TaskChange
	updates := make(map[updateKey][]*model.TaskChange)
	var order []updateKey
	var deleted [2][]*model.TaskChange // live, ended
	var absent []string
	for i := range b.Tasks {
		c := &b.Tasks[i]
		switch {
		case c.Delete && c.From == "": // born and deleted in the same batch
			absent = append(absent, c.ID)
		case c.Delete:
			deleted[index(c.From.Terminal())] = append(deleted[index(c.From.Terminal())], c)
		case c.Put != nil && c.From == "":
			fresh = append(fresh, c)
		case c.Put != nil:
			replaced = append(replaced, c)
		default:
			key := updateKey{c.Set, c.From.Terminal()}
			if updates[key] == nil {
				order = append(order, key)
			}
			updates[key] = append(updates[key], c)
		}
	}
	if len(absent) > 0 {
		t.queue(absentSQL, textArray(absent), int64(0))
	}
	if err := t.insert(fresh); err != nil {
		return err
	}
	for _, key := range order {
		if err := t.update(key, updates[key]); err != nil {
			return err
		}
	}
	if err := t.replace(replaced); err != nil {
		return err
	}
	for i, changes := range deleted {
		t.delete(i == 1, changes)
	}
	if err := t.workers(b.Workers); err != nil {
		return err
	}
	if b.Forget != 0 {
		t.queue(forgetSQL, int64(b.Forget))
	}
	t.count(b.Tasks)
	return nil
}

func index(ended bool) int {
	if ended {
		return 1
	}
	return 0
}

// insert queues new rows.
func (t *transaction) insert(changes []*model.TaskChange) error {
	if len(changes) == 0 {
		return nil
	}
	t.inserted = len(changes)
	form := &usualInsert
	ids, seqs := newArray(kindText, len(changes)), newArray(kindInt, len(changes))
	for _, c := range changes {
		if isUnusual(c.Put) {
			form = &fullInsert
		}
		ids.text(c.ID)
		seqs.integer(c.Put.Seq)
	}
	t.queue(takenSQL, ids, seqs)
	arrays := newArrays(form.columns, len(changes))
	ended, shown := newArray(kindBool, len(changes)), newArray(kindText, len(changes))
	for _, c := range changes {
		if err := addRow(form.columns, arrays, c.Put); err != nil {
			return taskError(c.ID, err)
		}
		addDerived(ended, shown, c.Put)
	}
	t.queue(form.sql, asArgs(arrays, ended, shown)...)
	return nil
}

// taskError is the error of a task that cannot be stored.
func taskError(id string, err error) error {
	return rules.RefusedError(id, "task %s: %v", id, err)
}

// addDerived appends the columns that are no fields.
func addDerived(ended, shown *array, t *model.Task) {
	ended.boolean(t.Status.Terminal())
	url := rules.ShownURL(t.URL)
	if url == t.URL {
		url = ""
	}
	shown.text(url)
}

// update queues changes of the same fields.
func (t *transaction) update(key updateKey, changes []*model.TaskChange) error {
	form := t.forms[key]
	if form == nil { // the engine uses a few of the many that there could be
		form = newUpdate(key)
		t.forms[key] = form
	}
	ids, seqs, was := newArray(kindText, len(changes)), newArray(kindInt, len(changes)), newArray(kindText, len(changes))
	arrays, ended := newArrays(form.columns, len(changes)), newArray(kindBool, len(changes))
	var scratch model.Task // columns read tasks
	for _, c := range changes {
		ids.text(c.ID)
		seqs.integer(c.Seq)
		was.text(string(c.From))
		scratch.TaskState = c.State
		if err := addRow(form.columns, arrays, &scratch); err != nil {
			return taskError(c.ID, err)
		}
		ended.boolean(c.To().Terminal())
	}
	args := []any{int64(len(changes)), ids, seqs, was}
	if key.set&model.SetStatus != 0 {
		arrays = append(arrays, ended)
	}
	t.queue(form.sql, append(args, asArgs(arrays)...)...)
	return nil
}

// replace queues whole rows for rows that are there.
func (t *transaction) replace(changes []*model.TaskChange) error {
	if len(changes) == 0 {
		return nil
	}
	was := newArray(kindText, len(changes))
	arrays := newArrays(taskColumns, len(changes))
	ended, shown := newArray(kindBool, len(changes)), newArray(kindText, len(changes))
	for _, c := range changes {
		was.text(string(c.From))
		if err := addRow(taskColumns, arrays, c.Put); err != nil {
			return taskError(c.ID, err)
		}
		addDerived(ended, shown, c.Put)
	}
	t.queue(replaceSQL, append([]any{int64(len(changes)), was}, asArgs(arrays, ended, shown)...)...)
	return nil
}

// delete queues removals, with their tombstones.
func (t *transaction) delete(ended bool, changes []*model.TaskChange) {
	if len(changes) == 0 {
		return
	}
	ids, was, until := newArray(kindText, len(changes)), newArray(kindText, len(changes)), newArray(kindInt, len(changes))
	for _, c := range changes {
		ids.text(c.ID)
		was.text(string(c.From))
		until.integer(int64(c.Keep))
	}
	t.queue(deleteSQL[index(ended)], int64(len(changes)), ids, was, until)
}

func (t *transaction) workers(changes []model.WorkerChange) error {
	last := make(map[string]int, len(changes)) // a batch may have several of one worker
	for i := range changes {
		last[changes[i].ID] = i
	}
	var gone []string
	arrays := newArrays(workerColumns, len(changes))
	for i := range changes {
		c := &changes[i]
		switch {
		case last[c.ID] != i:
		case c.Put == nil:
			gone = append(gone, c.ID)
		default:
			if err := addRow(workerColumns, arrays, c.Put); err != nil {
				return rules.RefusedError(c.ID, "worker %s: %v", c.ID, err)
			}
		}
	}
	if arrays[0].n > 0 {
		t.queue(putWorkersSQL, asArgs(arrays)...)
	}
	if len(gone) > 0 {
		t.queue(deleteWorkersSQL, textArray(gone))
	}
	return nil
}

// count queues what the changes mean to the counters. It inserts a row in each commit, whose
// place is the number of the commit.
func (t *transaction) count(changes []model.TaskChange) {
	deltas := make([]any, len(model.Statuses))
	sums := make([]int64, len(model.Statuses))
	for i := range changes {
		from, to := changes[i].From.Index(), changes[i].To().Index()
		if from == to {
			continue
		}
		if from >= 0 {
			sums[from]--
		}
		if to >= 0 {
			sums[to]++
		}
	}
	for i, n := range sums {
		deltas[i] = n
	}
	t.b.Queue(countersSQL, deltas...).QueryRow(func(row pgx.Row) error { return row.Scan(&t.number) })
}

// findMismatch finds out which change contradicts the store, in a transaction of its own.
func (s *Store) findMismatch(ctx context.Context, b *model.Batch, cause error) error {
	limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.config.Timeout)
	defer cancel()
	type row struct {
		status model.Status
		seq    int64
	}
	var ids []string
	seqs := newArray(kindInt, len(b.Tasks))
	for i := range b.Tasks {
		ids = append(ids, b.Tasks[i].ID)
		if put := b.Tasks[i].Put; put != nil {
			seqs.integer(put.Seq)
		}
	}
	have, takenBy := make(map[string]row), make(map[int64]string)
	var id string
	var r row
	rows, err := s.w.conn.Query(limited, "SELECT id, status, seq FROM tasks WHERE id = ANY($1) OR seq = ANY($2)", textArray(ids), seqs)
	err = scanValues(rows, err, []any{&id, (*string)(&r.status), &r.seq}, func() {
		have[unescapeText(id)], takenBy[r.seq] = r, id
	})
	if err != nil {
		return errors.Join(cause, err)
	}
	for i := range b.Tasks {
		c := &b.Tasks[i]
		old := have[c.ID]
		switch {
		case old.status != c.From:
			return rules.MismatchError(c.ID, c.From, old.status)
		case c.Put == nil && c.Seq != 0 && old.seq != c.Seq:
			return rules.RefusedError(c.ID, "task %s: its seq is %d, not %d", c.ID, old.seq, c.Seq)
		case c.Put == nil:
		case c.From != "" && old.seq != c.Put.Seq:
			return rules.RefusedError(c.ID, "task %s: its seq is %d and cannot become %d", c.ID, old.seq, c.Put.Seq)
		case takenBy[c.Put.Seq] != "" && takenBy[c.Put.Seq] != c.ID:
			return rules.RefusedError(c.ID, "task %s: another task has seq %d", c.ID, c.Put.Seq)
		}
		if c.Put != nil {
			takenBy[c.Put.Seq] = c.ID
		}
	}
	return fmt.Errorf("the batch contradicts the store: %w", cause)
}

// newArrays returns an array for each column.
func newArrays[S any](columns []column[S], rows int) []*array {
	arrays := make([]*array, len(columns))
	for i := range columns {
		arrays[i] = newArray(columns[i].kind, rows)
	}
	return arrays
}

// addRow appends the values of a row to the arrays of the columns.
func addRow[S any](columns []column[S], arrays []*array, row *S) error {
	for i := range columns {
		if err := columns[i].add(arrays[i], row); err != nil {
			return fmt.Errorf("its %s: %w", columns[i].name, err)
		}
	}
	return nil
}

// asArgs returns arrays as the arguments of a statement.
func asArgs(arrays []*array, more ...*array) []any {
	args := make([]any, 0, len(arrays)+len(more))
	for _, a := range slices.Concat(arrays, more) {
		args = append(args, a)
	}
	return args
}

func textArray(list []string) *array {
	a := newArray(kindText, len(list))
	for _, s := range list {
		a.text(s)
	}
	return a
}
