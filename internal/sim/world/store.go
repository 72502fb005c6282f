package world

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"path/filepath"
	"runtime"

	"github.com/aria-cluster/dispatcher/internal/sim/oracle"
	"github.com/aria-cluster/dispatcher/pkg/model"
	"github.com/aria-cluster/dispatcher/pkg/repo"
	"github.com/aria-cluster/dispatcher/pkg/repo/memory"
	"github.com/aria-cluster/dispatcher/pkg/repo/sqlite"
)

var (
	errDisk = model.Errorf(model.CodeUnavailable, "the disk fails")
	errRead = errors.New("the disk cannot be read")
)

// store is a real store with injected failures. Each of next occurs once.
type store struct {
	repo.Store
	w     *world
	name  string
	check *oracle.Oracle

	isDown    bool // every call fails
	readsFail bool // reads do
	slow      model.Time
	next      oneShots
	ctx       context.Context
}

// oneShots are failures that occur once.
type oneShots struct {
	commitFails, commitAmbiguous, readFails, loadFails, crashBefore, crashAfter bool
}

func newStore(w *world, name string, check *oracle.Oracle) *store {
	s := &store{w: w, name: name, check: check, ctx: context.Background()}
	s.Store = s.open()
	return s
}

// open makes an empty store.
func (s *store) open() repo.Store {
	if s.w.options.SQLite == "" {
		return memory.New()
	}
	s.w.files++
	path := filepath.Join(s.w.options.SQLite, fmt.Sprintf("%s-%d-%d.db", s.name, s.w.options.Seed, s.w.files))
	opened, err := sqlite.Open(s.ctx, sqlite.Config{Path: path, Synchronous: sqlite.Normal, Readers: 1, CacheKiB: 1024})
	if err != nil {
		panic(err)
	}
	return opened
}

func (s *store) close() error { return s.Store.Close() }

// takeOneShot reports whether a planned failure occurs now.
func (s *store) takeOneShot(next *bool, f Fault) bool {
	if !*next {
		return false
	}
	*next = false
	s.w.countFault(f)
	s.w.trace("%s: %s", s.name, f)
	return true
}

func (s *store) isFailing() bool {
	if s.isDown {
		s.w.countFault(StoreDown)
		s.check.Disturbed()
	}
	return s.isDown
}

// Commit implements [repo.Committer].
func (s *store) Commit(ctx context.Context, b *model.Batch) error {
	switch {
	case s.isFailing():
		s.check.CommitFailed()
		return errDisk
	case s.takeOneShot(&s.next.crashBefore, CrashBeforeCommit):
		runtime.Goexit() // the process ends here, see dispatcher.run
	case s.takeOneShot(&s.next.commitFails, CommitFails):
		s.check.CommitFailed()
		return errDisk
	}
	if s.slow > 0 {
		s.w.countFault(SlowDisk)
	}
	if err := s.Store.Commit(ctx, b); err != nil {
		s.w.violate("store-agrees", "the store refuses a batch: %v", err)
		return err
	}
	s.check.Committed(b)
	switch {
	case s.takeOneShot(&s.next.crashAfter, CrashAfterCommit):
		runtime.Goexit() // the process ends here, see dispatcher.run
	case s.takeOneShot(&s.next.commitAmbiguous, CommitAmbiguous):
		s.check.CommitFailed()
		return errors.New("the connection broke before the answer")
	}
	return nil
}

// Tasks implements [repo.Reader].
func (s *store) Tasks(ctx context.Context, ids []string) (map[string]*model.Task, error) {
	if s.isFailing() || s.readsFail || s.takeOneShot(&s.next.readFails, ReadFails) {
		if s.readsFail {
			s.w.countFault(ReadsDown)
		}
		s.check.Disturbed()
		return nil, errRead
	}
	return s.Store.Tasks(ctx, ids)
}

// Counts implements [repo.Reader]. It is the first thing that a load reads.
func (s *store) Counts(ctx context.Context) (model.Counts, error) {
	s.check.Unloaded()
	if s.isFailing() {
		return nil, errRead
	}
	return s.Store.Counts(ctx)
}

// Live implements [repo.Loader]. It is the last thing that a load reads.
func (s *store) Live(ctx context.Context) iter.Seq2[*model.Task, error] {
	return func(yield func(*model.Task, error) bool) {
		n := 0
		for t, err := range s.Store.Live(ctx) {
			if err == nil && n == 2 && s.takeOneShot(&s.next.loadFails, LoadFails) {
				err = errRead
			}
			if n++; !yield(t, err) || err != nil {
				return
			}
		}
		s.check.Loaded()
	}
}

// Workers implements [repo.Loader].
func (s *store) Workers(ctx context.Context) ([]*model.Worker, error) {
	if s.isFailing() {
		return nil, errRead
	}
	return s.Store.Workers(ctx)
}

// Expired implements [repo.Pruner].
func (s *store) Expired(ctx context.Context, before map[model.Status]model.Time, after int64, limit int) ([]model.TaskChange, int64, error) {
	if s.isFailing() {
		return nil, 0, errRead
	}
	return s.Store.Expired(ctx, before, after, limit)
}

// Tombstones implements [repo.Pruner].
func (s *store) Tombstones(ctx context.Context, ids []string) (map[string]model.Tombstone, error) {
	if s.isFailing() {
		return nil, errRead
	}
	return s.Store.Tombstones(ctx, ids)
}

// backup is a store at an earlier moment.
type backup struct {
	tasks   []*model.Task
	workers []*model.Worker
	ledger  oracle.Ledger
	at      model.Time
}

// backUp takes a backup.
func (s *store) backUp() (*backup, error) {
	snap, err := s.Store.Snapshot(s.ctx)
	if err != nil {
		return nil, err
	}
	b := &backup{at: s.w.now, ledger: s.check.SaveLedger()}
	for t, err := range snap.Tasks(s.ctx, 0) {
		if err != nil {
			return nil, errors.Join(err, snap.Close())
		}
		b.tasks = append(b.tasks, t)
	}
	b.workers, err = snap.Workers(s.ctx)
	return b, errors.Join(err, snap.Close())
}

// restore puts a backup in the place of the store.
func (s *store) restore(b *backup) error {
	fresh := s.open()
	var batch model.Batch
	for _, t := range b.tasks {
		batch.Tasks = append(batch.Tasks, model.TaskChange{ID: t.ID, Put: t})
	}
	for _, k := range b.workers {
		row := *k
		row.UsedSlots, row.CurrentTasks = 0, nil
		batch.Workers = append(batch.Workers, model.WorkerChange{ID: k.ID, Put: &row})
	}
	if err := fresh.Commit(s.ctx, &batch); err != nil {
		return errors.Join(err, fresh.Close())
	}
	err := s.Store.Close()
	s.Store = fresh
	s.check.RollBack(b.ledger, b.workers)
	return err
}
