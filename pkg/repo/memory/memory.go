package memory

import (
	"context"
	"iter"
	"maps"
	"slices"
	"sync"

	"github.com/aria-cluster/dispatcher/pkg/model"
	"github.com/aria-cluster/dispatcher/pkg/repo"
	"github.com/aria-cluster/dispatcher/pkg/repo/internal/rules"
)

// Store keeps tasks and workers in memory. It implements [repo.Store]; its
// commits last as long as the process.
type Store struct {
	mu         sync.RWMutex
	closed     bool
	tasks      map[string]*row
	workers    map[string]*model.Worker
	all        ordered
	byStatus   map[model.Status]*ordered // one for every status, always
	byClient   map[string]*ordered
	byWorker   map[string]*ordered // of those that have a worker
	tombstones tombstones
}

var _ repo.Store = (*Store)(nil)

// row holds the current value of a task. The sets share it, so a change that moves the task
// between no sets writes one pointer.
type row struct{ task *model.Task }

// New returns an empty store.
func New() *Store {
	s := &Store{
		tasks:    make(map[string]*row),
		workers:  make(map[string]*model.Worker),
		byStatus: make(map[model.Status]*ordered, len(model.Statuses)),
		byClient: make(map[string]*ordered),
		byWorker: make(map[string]*ordered),
	}
	for _, status := range model.Statuses {
		s.byStatus[status] = new(ordered)
	}
	return s
}

// Backend implements [repo.BackendNamer].
func (s *Store) Backend() string { return "memory" }

// Close frees the memory. Later calls are refused with CodeUnavailable.
func (s *Store) Close() error {
	empty := New()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed, s.tombstones = true, tombstones{}
	s.tasks, s.workers, s.all = empty.tasks, empty.workers, empty.all
	s.byStatus, s.byClient, s.byWorker = empty.byStatus, empty.byClient, empty.byWorker
	return nil
}

// Commit implements [repo.Committer]. An error means that nothing was written.
func (s *Store) Commit(ctx context.Context, b *model.Batch) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := rules.CheckBatch(b); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return rules.ClosedError("commit")
	}
	if err := s.check(b.Tasks); err != nil {
		return err
	}
	for i := range b.Tasks {
		s.apply(&b.Tasks[i])
	}
	for i := range b.Workers {
		if c := &b.Workers[i]; c.Put != nil {
			s.workers[c.ID] = rules.StoredWorker(c.Put)
		} else {
			delete(s.workers, c.ID)
		}
	}
	s.tombstones.removeExpired(b.Forget)
	return nil
}

// check refuses changes that contradict what is there, before any is applied.
func (s *Store) check(changes []model.TaskChange) error {
	var seqs map[int64]bool // of new rows
	for i := range changes {
		c := &changes[i]
		var have model.Status
		row := s.tasks[c.ID]
		if row != nil {
			have = row.task.Status
		}
		switch {
		case have != c.From:
			return rules.MismatchError(c.ID, c.From, have)
		case row != nil && c.Seq != 0 && row.task.Seq != c.Seq:
			return rules.RefusedError(c.ID, "task %s: its seq is %d, not %d", c.ID, row.task.Seq, c.Seq)
		case c.Put == nil:
		case row != nil && row.task.Seq != c.Put.Seq:
			return rules.RefusedError(c.ID, "task %s: its seq is %d and cannot become %d", c.ID, row.task.Seq, c.Put.Seq)
		case row == nil:
			if s.all.has(c.Put.Seq) || seqs[c.Put.Seq] {
				return rules.RefusedError(c.ID, "task %s: another task has seq %d", c.ID, c.Put.Seq)
			}
			if seqs == nil {
				seqs = make(map[int64]bool)
			}
			seqs[c.Put.Seq] = true
		}
	}
	return nil
}

func (s *Store) apply(c *model.TaskChange) {
	r := s.tasks[c.ID]
	switch {
	case r == nil && c.Put == nil: // created and deleted in the same batch
	case r == nil:
		r = &row{task: rules.Stored(c.Put)}
		s.tasks[c.ID] = r
		s.all.add(r)
		s.byStatus[r.task.Status].add(r)
		move(s.byClient, r, "", r.task.Client)
		move(s.byWorker, r, "", r.task.WorkerID)
	case c.Delete:
		s.tombstones.insert(c, r.task)
		delete(s.tasks, c.ID)
		s.all.remove(r.task.Seq)
		s.byStatus[r.task.Status].remove(r.task.Seq)
		move(s.byClient, r, r.task.Client, "")
		move(s.byWorker, r, r.task.WorkerID, "")
	default:
		before := r.task
		r.task = rules.Stored(c.Apply(before))
		if before.Status != r.task.Status {
			s.byStatus[before.Status].remove(before.Seq)
			s.byStatus[r.task.Status].add(r)
		}
		move(s.byClient, r, before.Client, r.task.Client)
		move(s.byWorker, r, before.WorkerID, r.task.WorkerID)
	}
}

// move takes the row from the set of one name to that of another; a name without
// rows keeps no set.
func move(sets map[string]*ordered, r *row, from, to string) {
	if from == to {
		return
	}
	if from != "" {
		set := sets[from]
		if set.remove(r.task.Seq); set.size == 0 {
			delete(sets, from)
		}
	}
	if to != "" {
		if sets[to] == nil {
			sets[to] = new(ordered)
		}
		sets[to].add(r)
	}
}

// Tasks implements [repo.Reader].
func (s *Store) Tasks(ctx context.Context, ids []string) (map[string]*model.Task, error) {
	found := make(map[string]*model.Task, len(ids))
	err := s.read(ctx, "tasks", func() {
		for _, id := range ids {
			if r := s.tasks[id]; r != nil {
				found[id] = r.task
			}
		}
	})
	return found, err
}

// Counts implements [repo.Reader].
func (s *Store) Counts(ctx context.Context) (model.Counts, error) {
	counts := make(model.Counts, len(model.Statuses))
	err := s.read(ctx, "counts", func() {
		for status, set := range s.byStatus {
			counts[status] = int64(set.size)
		}
	})
	return counts, err
}

// Workers implements [repo.Loader].
func (s *Store) Workers(ctx context.Context) ([]*model.Worker, error) {
	var workers []*model.Worker
	err := s.read(ctx, "workers", func() {
		for _, id := range slices.Sorted(maps.Keys(s.workers)) {
			workers = append(workers, s.workers[id])
		}
	})
	return workers, err
}

// LastSeq implements [repo.Loader].
func (s *Store) LastSeq(ctx context.Context) (seq int64, err error) {
	err = s.read(ctx, "last seq", func() { seq = s.all.last() })
	return seq, err
}

// Live implements [repo.Loader].
func (s *Store) Live(ctx context.Context) iter.Seq2[*model.Task, error] {
	path := func() []*ordered {
		var sets []*ordered
		for _, status := range model.Statuses {
			if !status.Terminal() {
				sets = append(sets, s.byStatus[status])
			}
		}
		return sets
	}
	return rules.Chunks(0, func(after int64) ([]*model.Task, error) { return s.chunk(ctx, "live", path, after, false) })
}

// read runs f with the store held for reading.
func (s *Store) read(ctx context.Context, op string, f func()) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return rules.ClosedError(op)
	}
	f()
	return nil
}
