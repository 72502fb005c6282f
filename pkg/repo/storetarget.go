package repo

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// TargetStore is what a copy needs of the store that it writes to: every
// [Store] has it. Commit is the only way in.
type TargetStore interface {
	Committer
	Snapshotter
	Tasks(ctx context.Context, ids []string) (map[string]*model.Task, error)
	Workers(ctx context.Context) ([]*model.Worker, error)
	Counts(ctx context.Context) (model.Counts, error)
	LastSeq(ctx context.Context) (int64, error)
}

// StoreTarget makes a store the target of a [Copy]. New tasks keep their Seq
// where that is greater than every one in the store, and get the next after the
// last one otherwise, so their order stays the source's.
//
// A copy that is cut off leaves what was put so far. No other program may write into
// the store meanwhile.
func StoreTarget(s TargetStore) Target { return storeTarget{s: s} }

// SharedTarget is a StoreTarget into which other programs write meanwhile: it verifies
// record by record and ignores all other records of the store.
func SharedTarget(s TargetStore) Target { return storeTarget{s: s, shared: true} }

type storeTarget struct {
	s      TargetStore
	shared bool
}

// Begin implements [Target].
func (t storeTarget) Begin(ctx context.Context, o CopyOptions) (Writer, error) {
	if err := o.normalize(); err != nil {
		return nil, err
	}
	w := &storeWriter{s: t.s, o: o, workers: make(map[string]*model.Worker)}
	counts, err := t.s.Counts(ctx)
	if err != nil {
		return nil, err
	}
	workers, err := t.s.Workers(ctx)
	if err != nil {
		return nil, err
	}
	for _, worker := range workers {
		w.workers[worker.ID] = worker
	}
	w.empty = !t.shared && counts.Total() == 0 && len(workers) == 0
	w.last, err = t.s.LastSeq(ctx)
	return w, err
}

// storeWriter writes one copy into a store.
type storeWriter struct {
	s       TargetStore
	o       CopyOptions
	empty   bool                     // it was: nothing that is put can be there
	last    int64                    // highest Seq
	workers map[string]*model.Worker // what the store has
	put     []*model.Worker          // with what they hold; without those that were kept
	kept    int64                    // records
	got     Digest                   // of the tasks seen in the store, where it was not empty
}

// Put implements [Writer].
func (w *storeWriter) Put(ctx context.Context, records []Record) (PutStats, error) {
	var done PutStats
	var b model.Batch
	var check []Record // to be read back
	found, err := w.readExisting(ctx, records)
	if err != nil {
		return done, err
	}
	for i := range records {
		r := &records[i]
		there := found(r.ID())
		write, err := w.decideWrite(r, there, &done)
		if err != nil {
			return done, err
		}
		switch {
		case !write:
		case r.Worker != nil:
			b.Workers = append(b.Workers, model.WorkerChange{ID: r.ID(), Put: r.Worker})
			w.put = append(w.put, r.Worker)
		default:
			b.Tasks = append(b.Tasks, w.changeFor(r.Task, there))
			check = append(check, *r)
		}
	}
	w.kept += done.Kept
	if w.o.DryRun {
		return done, nil
	}
	if !b.Empty() {
		if err := w.s.Commit(ctx, &b); err != nil {
			return done, err
		}
	}
	if !w.empty {
		err = w.readBack(ctx, check)
	}
	return done, err
}

// readExisting returns what the store has by the ids of the records, which are of
// one kind.
func (w *storeWriter) readExisting(ctx context.Context, records []Record) (func(id string) *Record, error) {
	none := func(string) *Record { return nil }
	if w.empty || len(records) == 0 {
		return none, nil
	}
	if records[0].Worker != nil {
		return func(id string) *Record {
			if worker := w.workers[id]; worker != nil {
				return &Record{Worker: worker}
			}
			return nil
		}, nil
	}
	tasks, err := lookupTasks(ctx, w.s, records)
	return func(id string) *Record {
		if task := tasks[id]; task != nil {
			return &Record{Task: task}
		}
		return nil
	}, err
}

// decideWrite says whether a record is to be written, and counts it.
func (w *storeWriter) decideWrite(r, there *Record, done *PutStats) (write bool, err error) {
	if there == nil {
		done.Written++
		return true, nil
	}
	same, err := r.Identical(there)
	switch {
	case err != nil:
		return false, err
	case same && r.Worker != nil:
		done.Skipped++
		w.put = append(w.put, r.Worker)
		return false, nil
	case same:
		done.Skipped++
		return false, w.got.Add(r)
	case w.o.OnConflict == Replace:
		done.Replaced++
		return true, nil
	case w.o.OnConflict == Skip:
		done.Kept++
		return false, done.Excluded.Add(r)
	}
	return false, model.Errorf(model.CodeConflict, "%s %s: the target has it with other content", r.Kind(), r.ID()).For(r.ID())
}

// changeFor returns what puts the task into the store.
func (w *storeWriter) changeFor(t *model.Task, there *Record) model.TaskChange {
	c := model.TaskChange{ID: t.ID, Put: t}
	seq := max(t.Seq, w.last+1)
	if there != nil {
		c.From, seq = there.Task.Status, there.Task.Seq
	} else {
		w.last = seq
	}
	if seq != t.Seq {
		moved := *t
		moved.Seq = seq
		c.Put = &moved
	}
	return c
}

// readBack reads tasks that were written and adds them to what the store is seen
// to hold.
func (w *storeWriter) readBack(ctx context.Context, records []Record) error {
	if len(records) == 0 {
		return nil
	}
	found, err := lookupTasks(ctx, w.s, records)
	if err != nil {
		return err
	}
	for i := range records {
		r := &records[i]
		task := found[r.ID()]
		if task == nil {
			return fmt.Errorf("task %s was written and is not there", r.ID())
		}
		read := &Record{Task: task}
		if same, err := r.Identical(read); err != nil {
			return err
		} else if !same {
			return fmt.Errorf("task %s was written and is read back with other content", r.ID())
		}
		if err := w.got.Add(read); err != nil {
			return err
		}
	}
	return nil
}

// Finish implements [Writer]: a store that was empty is read whole; otherwise
// every record was compared when it was put or read back since.
func (w *storeWriter) Finish(ctx context.Context, want Digest) (got Digest, err error) {
	if w.o.DryRun {
		return want, nil
	}
	snap, err := w.s.Snapshot(ctx)
	if err != nil {
		return got, err
	}
	defer func() { err = errors.Join(err, snap.Close()) }()
	if w.empty {
		if got, err = DigestOf(ctx, snap); err != nil {
			return got, err
		}
	}
	workers, err := snap.Workers(ctx)
	if err != nil {
		return got, err
	}
	seen, err := w.verifyWorkers(workers)
	if !w.empty {
		got = w.got.Plus(seen)
	}
	return got, err
}

// verifyWorkers compares the workers that were put with what the store has of
// them, and with the tasks that point to them. It returns the digest of what it
// saw.
func (w *storeWriter) verifyWorkers(workers []*model.Worker) (seen Digest, err error) {
	byID := make(map[string]*model.Worker, len(workers))
	for _, worker := range workers {
		byID[worker.ID] = worker
	}
	for _, put := range w.put {
		worker := byID[put.ID]
		if worker == nil {
			return seen, fmt.Errorf("worker %s was put and is not there", put.ID)
		}
		if same, err := (&Record{Worker: put}).Identical(&Record{Worker: worker}); err != nil {
			return seen, err
		} else if !same {
			return seen, fmt.Errorf("worker %s was put and is read back with other content", put.ID)
		}
		if err := seen.Add(&Record{Worker: worker}); err != nil {
			return seen, err
		}
		if w.kept > 0 { // the target decides which worker holds a task that was kept
			continue
		}
		if lost := findMissing(worker.CurrentTasks, put.CurrentTasks); len(lost) > 0 {
			return seen, fmt.Errorf("worker %s does not hold %d of its tasks: %s",
				put.ID, len(lost), strings.Join(lost[:min(len(lost), maxNamed)], ", "))
		}
		if more := findMissing(put.CurrentTasks, worker.CurrentTasks); len(more) > 0 && w.empty {
			return seen, fmt.Errorf("worker %s holds %d tasks that are not its own: %s",
				put.ID, len(more), strings.Join(more[:min(len(more), maxNamed)], ", "))
		}
	}
	return seen, nil
}

// Abort implements [Writer].
func (w *storeWriter) Abort(context.Context) error { return nil }

// Tasks implements [Lookup].
func (w *storeWriter) Tasks(ctx context.Context, ids []string) (map[string]*model.Task, error) {
	return w.s.Tasks(ctx, ids)
}
