package dispatch

import (
	"cmp"
	"context"
	"fmt"
	"maps"

	"github.com/aria-cluster/dispatcher/internal/engine"
	"github.com/aria-cluster/dispatcher/pkg/model"
	"github.com/aria-cluster/dispatcher/pkg/repo"
)

// maxUnloadable bounds the bad rows of a load. With more of them the load fails: the rows
// are not the cause then.
const maxUnloadable = 100

// badRow is a stored task or worker on which the engine panics.
type badRow struct {
	task, worker string // one of the two
	bug          *panicError
}

func (e *badRow) Error() string {
	if e.worker != "" {
		return fmt.Sprintf("load the worker %s: %v", e.worker, e.bug)
	}
	return fmt.Sprintf("load the task %s: %v", e.task, e.bug)
}

// Load builds the engine from the store, at the time now. What an import holds back
// stays held back. A task on which the engine panics is set aside, so that one bad
// row does not stop all others; such a worker is left out until its next heartbeat.
func (t *Turn) Load(ctx context.Context, now engine.Clock) error {
	t.engine, t.pending = nil, pendingRows{}
	// Before what does not wait for a commit of unknown outcome; see [repo.Loader].
	last, err := t.store.LastSeq(ctx)
	if err != nil {
		return fmt.Errorf("load the last sequence: %w", err)
	}
	if err := t.resolveImport(ctx); err != nil {
		return err
	}
	for {
		e, bad, err := t.build(ctx, now, last)
		switch {
		case err != nil:
			return err
		case bad == nil:
			maps.DeleteFunc(t.hold.Tasks, func(id string, _ struct{}) bool { return !e.IsHeld(id) })
			t.engine, t.stale = e, nil
			return nil
		case len(t.unloadable) >= maxUnloadable:
			return fmt.Errorf("%d stored rows cannot be loaded: %w", maxUnloadable, bad)
		}
		// The panic has left the engine incomplete: it is built again without the row.
		t.unloadable[bad.task+"\x00"+bad.worker] = struct{}{}
		t.onPanic("a stored row cannot be loaded; it is set aside", bad.bug, "task", bad.task, "worker", bad.worker)
	}
}

// build makes an engine of what the store has, or names a row on which it panics.
func (t *Turn) build(ctx context.Context, now engine.Clock, last int64) (e *engine.Engine, bad *badRow, err error) {
	at := badRow{}
	defer func() {
		if p := recover(); p != nil {
			at.bug = panicked(-1, p)
			if e, bad, err = nil, &at, nil; at.task == "" && at.worker == "" {
				bad, err = nil, fmt.Errorf("load the store: %w", at.bug)
			}
		}
	}()
	counts, err := t.store.Counts(ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("load the counters: %w", err)
	}
	workers, err := t.store.Workers(ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("load the workers: %w", err)
	}
	e = engine.New(t.cfg, now, engine.Totals{Counts: counts, LastSeq: last})
	e.LoadHold(t.hold)
	var damaged badRows
	for _, w := range workers {
		if w.Damage != "" {
			damaged.add("", w.ID, w.Damage)
		}
		if at.worker = w.ID; !t.isUnloadable("", w.ID) {
			e.LoadWorker(w)
		}
	}
	at.worker = ""
	for task, err := range t.store.Live(ctx) {
		if err != nil {
			return nil, nil, fmt.Errorf("load the live tasks: %w", err)
		}
		damage := damageOf(task)
		switch at.task = task.ID; {
		case damage != "":
			damaged.add(task.ID, "", damage)
			row := *task
			row.Damage = damage
			e.AddUnloadable(&row)
		case t.isUnloadable(task.ID, ""):
			e.AddUnloadable(task)
		default:
			e.LoadTask(task)
		}
		at.task = "" // what follows is the store's
	}
	t.onBadRows(damaged)
	return e, nil, nil
}

// damageOf returns what is wrong with the row of a live task: a column that cannot be read, or
// that the engine cannot count on from. It returns "" if nothing is.
func damageOf(t *model.Task) string {
	switch {
	case t.Damage != "":
		return t.Damage
	case !model.ValidName(t.ID):
		return "its id is not valid"
	case !model.ValidName(t.Client):
		return "its client is not valid"
	case t.Seq < 1 || t.Seq > model.MaxAttemptNumber:
		return "its seq is not valid"
	case t.Attempt < 0 || t.Attempt > model.MaxAttemptNumber:
		return "its attempt is not valid"
	case (t.Status == model.StatusQueued || t.Status == model.StatusDownloading) && !model.ValidName(t.WorkerID):
		return "its worker_id is not valid"
	}
	return ""
}

// badRows are the stored rows of a load, or of a turn, that cannot be read: the first of them, and their
// number.
type badRows struct {
	first  []storedRow
	number int
}

// storedRow names a row and what is wrong with it; one of the two names is empty.
type storedRow struct{ task, worker, damage string }

func (b *badRows) add(task, worker, damage string) {
	if b.number++; len(b.first) < maxNotes {
		b.first = append(b.first, storedRow{task, worker, damage})
	}
}

// logBadRows logs the rows that a load or a turn has set aside.
func (d *Dispatcher) logBadRows(bad badRows) {
	for _, row := range bad.first {
		if row.worker != "" {
			d.cfg.Logger.Error("a stored worker cannot be read as a whole; its next heartbeat replaces it", "worker", row.worker, "error", row.damage)
			continue
		}
		d.cfg.Logger.Error("a stored task cannot be read; it is set aside, and can be canceled", "task", row.task, "error", row.damage)
	}
	if more := bad.number - len(bad.first); more > 0 {
		d.cfg.Logger.Error("further stored rows cannot be read", "number", more)
	}
}

// readStore learns whether the store is frozen, and builds the engine.
func (l *loop) readStore(ctx context.Context) error {
	if err := l.loadFreeze(ctx); err != nil {
		return err
	}
	return l.turn.Load(ctx, l.clock())
}

func (t *Turn) isUnloadable(task, worker string) bool {
	if len(t.unloadable) == 0 {
		return false
	}
	_, ok := t.unloadable[task+"\x00"+worker]
	return ok
}

// unload discards an engine that may not match the store.
func (t *Turn) unload() { t.engine, t.stale = nil, nil }

// setAside has the engine loaded again before the next turn. It matches what the store has
// acknowledged, and answers queries until then.
func (t *Turn) setAside() { t.engine, t.stale = nil, cmp.Or(t.engine, t.stale) }

// beginImport notes that an import is under way, and returns its number.
func (t *Turn) beginImport() (session int64) {
	t.sessions++
	t.session, t.hold.Active = t.sessions, true
	if t.engine != nil {
		t.engine.Step(engine.BeginImport{})
	}
	return t.session
}

// endImport notes that an import has been given up, unless it has ended. It needs no
// commit, so it succeeds in every mode.
func (t *Turn) endImport(session int64) {
	if session != t.session {
		return
	}
	t.session, t.hold.Active = 0, false
	if t.engine != nil {
		t.engine.Step(engine.AbortImport{})
	}
}

// committed takes over what a turn has changed of the import, now that it is true.
func (t *Turn) committed(plan *engine.Plan) {
	t.hold.Apply(&plan.Hold)
	if plan.Hold.Released {
		t.session = 0
	}
	t.unresolved = nil
	for i := 0; i < len(plan.Batch.Tasks) && len(t.unloadable) > 0; i++ {
		delete(t.unloadable, plan.Batch.Tasks[i].ID+"\x00") // its row is another now
	}
}

// resolveImport finds out which tasks of an import were written by a commit with an
// unknown outcome: they are held back like those of the commits that succeeded.
func (t *Turn) resolveImport(ctx context.Context) error {
	if len(t.unresolved) == 0 {
		return nil
	}
	ids := make([]string, len(t.unresolved))
	for i := range t.unresolved {
		ids[i] = t.unresolved[i].ID
	}
	rows, err := t.store.Tasks(ctx, ids)
	if err != nil {
		return fmt.Errorf("load %d imported tasks: %w", len(ids), err)
	}
	for i := range t.unresolved {
		row, put := rows[t.unresolved[i].ID], t.unresolved[i].Put
		if row == nil || row.Status.Terminal() {
			continue
		}
		written, err := (&repo.Record{Task: put}).Identical(&repo.Record{Task: row})
		if err != nil {
			return fmt.Errorf("load an imported task: %w", err)
		}
		if written {
			t.hold.Tasks[row.ID] = struct{}{}
		}
	}
	t.unresolved = nil
	return nil
}

// imported are the changes of the imports among the events.
func imported(events []engine.Event) (changes []model.TaskChange) {
	for _, ev := range events {
		if x, ok := ev.(engine.Import); ok {
			changes = append(changes, x.Batch.Tasks...)
		}
	}
	return changes
}
