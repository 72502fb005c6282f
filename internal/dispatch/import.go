package dispatch

import (
	"context"
	"errors"

	"github.com/aria-cluster/dispatcher/internal/engine"
	"github.com/aria-cluster/dispatcher/pkg/model"
	"github.com/aria-cluster/dispatcher/pkg/repo"
)

// Begin starts an import; it implements [repo.Target]. What is imported is stored
// at once and held back from workers until Finish has verified it. After an Abort
// it stays held back until another import, of the same records, is finished. Where other
// dispatchers may take over it is CodeConflict: they do not know what is held back.
func (d *Dispatcher) Begin(ctx context.Context, o repo.CopyOptions) (repo.Writer, error) {
	if _, single := d.cfg.Lease.(alone); !single && !o.DryRun {
		return nil, errSharedImport
	}
	store := &importStore{ReadStore: d.cfg.Store, d: d}
	w, err := repo.SharedTarget(store).Begin(ctx, o)
	if err != nil {
		return nil, err
	}
	if !o.DryRun {
		store.session, err = runInLoop(ctx, d, func(l *loop) (int64, error) {
			if err := l.refusal(); err != nil {
				return 0, err
			}
			return l.turn.beginImport(), nil
		}, func(l *loop, session int64) { l.turn.endImport(session) })
		if err != nil {
			return nil, err
		}
	}
	return &importSession{Writer: w, d: d, dry: o.DryRun, session: store.session, liveIDs: make(map[string]struct{})}, nil
}

var errSharedImport = model.Errorf(model.CodeConflict,
	"import: the next leader of this database would assign its tasks before they are verified; stop all dispatchers and use migrate --target postgres")

// importSession is an import under way.
type importSession struct {
	repo.Writer
	d       *Dispatcher
	dry     bool
	session int64
	liveIDs map[string]struct{} // ids of the tasks put that have not ended: a finish releases these
}

// Put implements [repo.Writer]. A worker that is online here keeps its record, which is
// newer.
func (w *importSession) Put(ctx context.Context, records []repo.Record) (repo.PutStats, error) {
	var kept repo.PutStats
	if len(records) > 0 && records[0].Worker != nil {
		var others []repo.Record
		for i := range records {
			living, err := w.d.isLiveWorker(ctx, records[i].ID())
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
	for i := range records {
		if t := records[i].Task; err == nil && t != nil && !t.Status.Terminal() {
			w.liveIDs[t.ID] = struct{}{}
		}
	}
	done.Kept += kept.Kept
	done.Excluded = done.Excluded.Plus(kept.Excluded)
	return done, err
}

// Finish implements [repo.Writer]: the tasks that were put are dispatched. Where the
// commit fails they stay held back, and Finish may be called again.
func (w *importSession) Finish(ctx context.Context, want repo.Digest) (repo.Digest, error) {
	got, err := w.Writer.Finish(ctx, want)
	if err != nil || !got.Equal(want) || w.dry {
		return got, err
	}
	return got, w.d.runSingle(ctx, w.session, engine.FinishImport{Tasks: w.liveIDs})
}

// Abort implements [repo.Writer]. It is done even if ctx ends before: an import that
// never ends would keep lost workers from being noticed.
func (w *importSession) Abort(ctx context.Context) error {
	err := w.Writer.Abort(ctx)
	if w.dry {
		return err
	}
	return errors.Join(err, w.d.alwaysInLoop(ctx, func(l *loop) error {
		l.turn.endImport(w.session)
		return nil
	}))
}

// Tasks implements [repo.Lookup].
func (w *importSession) Tasks(ctx context.Context, ids []string) (map[string]*model.Task, error) {
	return w.d.cfg.Store.Tasks(ctx, ids)
}

func (d *Dispatcher) isLiveWorker(ctx context.Context, worker string) (bool, error) {
	w, err := d.Worker(ctx, worker)
	if model.CodeOf(err) == model.CodeNotFound {
		return false, nil
	}
	return err == nil && w.Status != model.WorkerOffline && w.LastHeartbeat > d.started, err
}

// importStore is the store as an import sees it: snapshots are taken between two turns, and
// commits go through a turn.
type importStore struct {
	ReadStore
	d       *Dispatcher
	session int64
}

func (s *importStore) Snapshot(ctx context.Context) (repo.Snapshot, error) { return s.d.Snapshot(ctx) }

// Commit implements [repo.Committer]. A task that has changed since it was read is a
// conflict.
func (s *importStore) Commit(ctx context.Context, b *model.Batch) error {
	ids := make([]string, len(b.Tasks))
	for i := range b.Tasks {
		ids[i] = b.Tasks[i].ID
	}
	_, err := runInLoop(ctx, s.d, func(l *loop) (struct{}, error) {
		return struct{}{}, s.commit(ctx, l, ids, b)
	}, nil)
	return err
}

func (s *importStore) commit(ctx context.Context, l *loop, ids []string, b *model.Batch) error {
	now, err := s.Tasks(ctx, ids)
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
	return l.executeSingle(ctx, s.session, engine.Import{Batch: b})
}

// runSingle gives one event of an import a turn of its own.
func (d *Dispatcher) runSingle(ctx context.Context, session int64, ev engine.Event) error {
	_, err := runInLoop(ctx, d, func(l *loop) (struct{}, error) {
		return struct{}{}, l.executeSingle(ctx, session, ev)
	}, nil)
	return err
}

// executeSingle takes one event of an import, which has no caller in the inbox, through a
// turn.
func (l *loop) executeSingle(ctx context.Context, session int64, ev engine.Event) error {
	if err := l.refusal(); err != nil {
		return err
	}
	if l.turn.session != session {
		return model.Errorf(model.CodeNotFound, "import: it has been given up; begin again")
	}
	connected := l.cfg.Connected() && !l.modes.unheard // as in serve
	err := l.executeTurn(context.WithoutCancel(ctx), l.clock(), connected, []engine.Event{ev}, nil)
	l.unplaced = l.modes.noteTurn(err) || l.unplaced
	if isBug(err) {
		return errInternal
	}
	return err
}
