package repo_test

import (
	"context"
	"errors"
	"iter"
	"strings"
	"testing"

	"github.com/aria-cluster/dispatcher/pkg/model"
	"github.com/aria-cluster/dispatcher/pkg/repo"
	"github.com/aria-cluster/dispatcher/pkg/repo/copytest"
	"github.com/aria-cluster/dispatcher/pkg/repo/memory"
)

// faulty is a store that damages what is committed to it.
type faulty struct {
	*memory.Store
	spoil func(t *model.Task) *model.Task // nil loses it
}

func (f faulty) Commit(ctx context.Context, b *model.Batch) error {
	c := model.Batch{Workers: b.Workers}
	for _, change := range b.Tasks {
		if change.Put = f.spoil(change.Put); change.Put != nil {
			c.Tasks = append(c.Tasks, change)
		}
	}
	return f.Store.Commit(ctx, &c)
}

// TestCopy_FailedVerificationNamesDifferences: a failed verification names the tasks that differ.
func TestCopy_FailedVerificationNamesDifferences(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(t *model.Task) *model.Task
		want  string
	}{
		"lost": {func(t *model.Task) *model.Task {
			if t.ID == "task-0000042" {
				return nil
			}
			return t
		}, "task-0000042 is missing"},
		"a time shifted": {func(t *model.Task) *model.Task {
			c := *t
			if t.ID == "task-0000042" {
				c.CreatedAt++
			}
			return &c
		}, "task-0000042 differs"},
		"relation lost": {func(t *model.Task) *model.Task {
			c := *t
			if t.ID == "task-0000001" {
				c.WorkerID = ""
			}
			return &c
		}, "task-0000001"},
	} {
		for _, already := range []int{0, 5} {
			dst := faulty{filled(t, already, 0), c.spoil}
			if already == 5 { // another way of verifying; these are other tasks
				dst = faulty{memory.New(), c.spoil}
				old := copytest.Task(9999, 0)
				put(t, dst.Store, old)
			}
			stats, err := repo.Copy(t.Context(), filled(t, 100, 5), repo.StoreTarget(dst), repo.CopyOptions{})
			if err == nil || stats.Verified || stats.Errors == 0 || !strings.Contains(err.Error(), strings.Fields(c.want)[0]) {
				t.Errorf("%s, %d before: %v, errors %d", name, already, err, stats.Errors)
			} else if already == 0 && !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: %v, want %q in it", name, err, c.want)
			}
		}
	}
}

// misstating is a source with a snapshot that states a wrong digest.
type misstating struct{ *memory.Store }

type misstatedSnapshot struct{ repo.Snapshot }

func (l misstating) Snapshot(ctx context.Context) (repo.Snapshot, error) {
	s, err := l.Store.Snapshot(ctx)
	return misstatedSnapshot{s}, err
}

func (misstatedSnapshot) Digest() repo.Digest { return repo.Digest{Tasks: 10} }

// TestCopy_WrongSourceDigestIsError: a source with records that do not match its digest
// is an error.
func TestCopy_WrongSourceDigestIsError(t *testing.T) {
	_, err := repo.Copy(t.Context(), misstating{filled(t, 10, 0)}, repo.StoreTarget(memory.New()), repo.CopyOptions{})
	if err == nil || !strings.Contains(err.Error(), "the source states") {
		t.Errorf("Copy = %v", err)
	}
}

// broken is a source that fails after some tasks.
type broken struct{ *memory.Store }

type brokenSnapshot struct{ repo.Snapshot }

func (b broken) Snapshot(ctx context.Context) (repo.Snapshot, error) {
	s, err := b.Store.Snapshot(ctx)
	return brokenSnapshot{s}, err
}

func (b brokenSnapshot) Tasks(ctx context.Context, after int64) iter.Seq2[*model.Task, error] {
	return func(yield func(*model.Task, error) bool) {
		n := 0
		for task, err := range b.Snapshot.Tasks(ctx, after) {
			if n++; n > 1500 {
				yield(nil, errors.New("the disk is gone"))
				return
			}
			if !yield(task, err) {
				return
			}
		}
	}
}

// TestCopy_FailingSourceEndsCopy: a source that fails ends the copy.
func TestCopy_FailingSourceEndsCopy(t *testing.T) {
	stats, err := repo.Copy(t.Context(), broken{filled(t, 3000, 0)}, repo.StoreTarget(memory.New()), repo.CopyOptions{})
	if err == nil || !strings.Contains(err.Error(), "the disk is gone") || stats.Verified || stats.TasksMigrated != 1000 {
		t.Errorf("Copy = %+v, %v", stats, err)
	}
}
