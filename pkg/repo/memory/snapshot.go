package memory

import (
	"context"
	"iter"
	"maps"
	"slices"
	"sort"

	"github.com/aria-cluster/dispatcher/pkg/model"
	"github.com/aria-cluster/dispatcher/pkg/repo"
	"github.com/aria-cluster/dispatcher/pkg/repo/internal/rules"
)

// snapshot is the values that the store had at one moment. They are immutable,
// so what it copies is a pointer a task.
type snapshot struct {
	store   *Store
	closed  bool
	tasks   []*model.Task // in the order of seq
	workers []*model.Worker
	counts  model.Counts
}

// Snapshot implements [repo.Snapshotter]. It blocks the writer while it copies 8 bytes
// a task.
func (s *Store) Snapshot(ctx context.Context) (repo.Snapshot, error) {
	snap := &snapshot{store: s, workers: []*model.Worker{}, counts: make(model.Counts, len(model.Statuses))}
	err := s.read(ctx, "snapshot", func() {
		snap.tasks = make([]*model.Task, 0, s.all.size)
		for _, block := range s.all.blocks {
			for _, e := range block {
				snap.tasks = append(snap.tasks, e.row.task)
			}
		}
		for status, set := range s.byStatus {
			snap.counts[status] = int64(set.size)
		}
		for _, id := range slices.Sorted(maps.Keys(s.workers)) {
			var held []string
			if set := s.byWorker[id]; set != nil {
				for _, block := range set.blocks {
					for _, e := range block {
						held = append(held, e.row.task.ID)
					}
				}
			}
			snap.workers = append(snap.workers, rules.WithCurrentTasks(s.workers[id], held))
		}
	})
	if err != nil {
		return nil, err
	}
	return snap, nil
}

// check refuses reads after the end of the snapshot or of its store.
func (s *snapshot) check(ctx context.Context, op string) error {
	if s.closed {
		return rules.ClosedError(op)
	}
	return s.store.read(ctx, op, func() {})
}

// Tasks implements [repo.Snapshot].
func (s *snapshot) Tasks(ctx context.Context, after int64) iter.Seq2[*model.Task, error] {
	return func(yield func(*model.Task, error) bool) {
		first := sort.Search(len(s.tasks), func(i int) bool { return s.tasks[i].Seq > after })
		for i := first; ; i++ {
			if (i-first)%chunkSize == 0 {
				if err := s.check(ctx, "snapshot"); err != nil {
					yield(nil, err)
					return
				}
			}
			if i >= len(s.tasks) || !yield(s.tasks[i], nil) {
				return
			}
		}
	}
}

// Workers implements [repo.Snapshot].
func (s *snapshot) Workers(ctx context.Context) ([]*model.Worker, error) {
	return s.workers, s.check(ctx, "snapshot")
}

// Counts implements [repo.Snapshot].
func (s *snapshot) Counts(ctx context.Context) (model.Counts, error) {
	return maps.Clone(s.counts), s.check(ctx, "snapshot")
}

// Close implements [repo.Snapshot]. It releases the values.
func (s *snapshot) Close() error {
	s.closed = true
	s.tasks, s.workers = nil, nil
	return nil
}
