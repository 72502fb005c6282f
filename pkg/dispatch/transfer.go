package dispatch

import (
	"context"
	"errors"

	"github.com/aria-cluster/dispatcher/pkg/engine"
	"github.com/aria-cluster/dispatcher/pkg/model"
	"github.com/aria-cluster/dispatcher/pkg/repo"
)

// Snapshot returns everything that is stored at this moment, taken between two
// turns: what was acknowledged before is in it. It implements [repo.Source]. With
// final, see [Dispatcher.Freeze].
func (d *Dispatcher) Snapshot(ctx context.Context) (repo.Snapshot, error) {
	return d.snapshot(ctx, false)
}

// Freeze is Snapshot, and refuses every write from then on, 503, so that nothing
// is left behind when another store takes over. [Dispatcher.Thaw] undoes it.
func (d *Dispatcher) Freeze(ctx context.Context) (repo.Snapshot, error) {
	return d.snapshot(ctx, true)
}

func (d *Dispatcher) snapshot(ctx context.Context, final bool) (snap repo.Snapshot, err error) {
	err = d.between(ctx, func(l *loop) error {
		if snap, err = d.cfg.Store.Snapshot(ctx); err == nil && final {
			l.frozen = model.Errorf(model.CodeUnavailable, "the tasks of this dispatcher are moved to another store (migrate --final)")
		}
		return err
	})
	return snap, err
}

// Thaw takes writes again after a Freeze.
func (d *Dispatcher) Thaw(ctx context.Context) error {
	return d.between(ctx, func(l *loop) error {
		l.frozen = nil
		return nil
	})
}

// Begin starts an import; it implements [repo.Target]. What is imported is stored
// at once and held back from workers until Finish has verified it. After an Abort
// it stays held back until another import, of the same records, is finished.
func (d *Dispatcher) Begin(ctx context.Context, o repo.CopyOptions) (repo.Writer, error) {
	w, err := repo.SharedTarget(importStore{d}).Begin(ctx, o)
	if err != nil {
		return nil, err
	}
	if !o.DryRun {
		if err := d.turnAlone(ctx, engine.Hold{}); err != nil {
			return nil, err
		}
	}
	return &importing{Writer: w, d: d, dry: o.DryRun}, nil
}

// importing is an import under way.
type importing struct {
	repo.Writer
	d   *Dispatcher
	dry bool
}

// Put implements [repo.Writer]. The record of a worker that is living here is
// kept: its own is the newer one.
func (w *importing) Put(ctx context.Context, records []repo.Record) (repo.PutStats, error) {
	var kept repo.PutStats
	if len(records) > 0 && records[0].Worker != nil {
		var others []repo.Record
		for i := range records {
			living, err := w.d.living(ctx, records[i].ID())
			if err != nil {
				return kept, err
			}
			if !living {
				others = append(others, records[i])
				continue
			}
			kept.Kept++
			if err := kept.Excluded.Add(&records[i]); err != nil {
				return kept, err
			}
		}
		records = others
	}
	if len(records) == 0 {
		return kept, nil
	}
	done, err := w.Writer.Put(ctx, records)
	done.Kept += kept.Kept
	done.Excluded = done.Excluded.Plus(kept.Excluded)
	return done, err
}

// Finish implements [repo.Writer]: what is as it should be is dispatched.
func (w *importing) Finish(ctx context.Context, want repo.Digest) (repo.Digest, error) {
	got, err := w.Writer.Finish(ctx, want)
	if err != nil || !got.Equal(want) || w.dry {
		return got, err
	}
	return got, w.d.turnAlone(ctx, engine.Release{})
}

// Abort implements [repo.Writer].
func (w *importing) Abort(ctx context.Context) error {
	err := w.Writer.Abort(ctx)
	if w.dry {
		return err
	}
	return errors.Join(err, w.d.turnAlone(ctx, engine.Abandon{}))
}

// Tasks implements [repo.Lookup].
func (w *importing) Tasks(ctx context.Context, ids []string) (map[string]*model.Task, error) {
	return w.d.cfg.Store.Tasks(ctx, ids)
}

func (d *Dispatcher) living(ctx context.Context, worker string) (bool, error) {
	w, err := d.Worker(ctx, worker)
	if model.CodeOf(err) == model.CodeNotFound {
		return false, nil
	}
	return err == nil && w.Status != model.WorkerOffline && w.LastHeartbeat > d.started, err
}

// importStore is the store as an import sees it: commits go through a turn.
type importStore struct{ d *Dispatcher }

func (s importStore) Snapshot(ctx context.Context) (repo.Snapshot, error) { return s.d.Snapshot(ctx) }
func (s importStore) Workers(ctx context.Context) ([]*model.Worker, error) {
	return s.d.cfg.Store.Workers(ctx)
}
func (s importStore) Counts(ctx context.Context) (model.Counts, error) {
	return s.d.cfg.Store.Counts(ctx)
}
func (s importStore) LastSeq(ctx context.Context) (int64, error) { return s.d.cfg.Store.LastSeq(ctx) }
func (s importStore) Tasks(ctx context.Context, ids []string) (map[string]*model.Task, error) {
	return s.d.cfg.Store.Tasks(ctx, ids)
}

// Commit implements [repo.Committer]. A task that has changed since it was looked
// at is a conflict.
func (s importStore) Commit(ctx context.Context, b *model.Batch) error {
	ids := make([]string, len(b.Tasks))
	for i := range b.Tasks {
		ids[i] = b.Tasks[i].ID
	}
	return s.d.between(ctx, func(l *loop) error {
		now, err := s.d.cfg.Store.Tasks(ctx, ids)
		if err != nil {
			return err
		}
		for i := range b.Tasks {
			c := &b.Tasks[i]
			from := model.Status("")
			if row := now[c.ID]; row != nil {
				from = row.Status
			}
			if from != c.From {
				return model.Errorf(model.CodeConflict, "task %s: it has changed here during the import", c.ID).For(c.ID)
			}
		}
		return l.alone(ctx, engine.Import{Batch: b})
	})
}

// turnAlone gives one event a turn of its own.
func (d *Dispatcher) turnAlone(ctx context.Context, ev engine.Event) error {
	return d.between(ctx, func(l *loop) error { return l.alone(ctx, ev) })
}

// alone takes one event that nobody waits for in the inbox through a turn.
func (l *loop) alone(ctx context.Context, ev engine.Event) error {
	now := l.clock()
	if err := l.closedFor(now); err != nil {
		return err
	}
	return l.turnOver(context.WithoutCancel(ctx), now, l.cfg.Connected(), []engine.Event{ev}, nil)
}

// between has do called by the loop's goroutine between two turns, and returns
// its error; CodeUnavailable if the loop ends or ctx does first. Then do may be
// called later, or not.
func (d *Dispatcher) between(ctx context.Context, do func(*loop) error) error {
	ended := make(chan error, 1)
	select {
	case d.controls <- func(l *loop) { ended <- do(l) }:
	case <-d.stopped:
		return errStopped
	case <-ctx.Done():
		return errLate
	}
	select {
	case err := <-ended:
		return err
	case <-d.stopped:
		return errStopped
	case <-ctx.Done():
		return errLate
	}
}

var (
	errStopped = model.Errorf(model.CodeUnavailable, "the dispatcher has stopped: try again")
	errLate    = model.Errorf(model.CodeUnavailable, "no answer in time: try again")
)

// closedFor says why writes are refused now, nil if they are not.
func (l *loop) closedFor(now engine.Clock) error {
	switch {
	case l.frozen != nil:
		return l.frozen
	case now.Steady < l.retryAt || !l.turn.Loaded():
		if l.trouble != nil {
			return l.trouble
		}
		return errors.New("the store is not loaded")
	}
	return nil
}
