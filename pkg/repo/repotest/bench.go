package repotest

import (
	"context"
	"fmt"
	"testing"

	"github.com/aria-cluster/dispatcher/pkg/model"
	"github.com/aria-cluster/dispatcher/pkg/repo"
)

// BenchmarkCommit measures commits of 1, 100 and 1000 changes: of whole lives,
// in which each task is put, assigned, begun and completed, a quarter of every
// batch each. It reports changes a second.
func BenchmarkCommit(b *testing.B, open func(b *testing.B) repo.Store) {
	for _, n := range []int{1, 100, 1000} {
		b.Run(fmt.Sprintf("changes=%d", n), func(b *testing.B) {
			s := open(b)
			defer s.Close()
			lives := &generator{}
			for range 10 {
				if err := s.Commit(context.Background(), lives.batch(n)); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportAllocs()
			b.ResetTimer()
			var ready []*model.Batch // made many at once: stopping the timer is dear
			for i := range b.N {
				if len(ready) == 0 {
					b.StopTimer()
					for range min(b.N-i, max(1, 10_000/n)) {
						ready = append(ready, lives.batch(n))
					}
					b.StartTimer()
				}
				if err := s.Commit(context.Background(), ready[0]); err != nil {
					b.Fatal(err)
				}
				ready = ready[1:]
			}
			b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "changes/s")
		})
	}
}

// NewGenerator returns a function that makes the batches of [BenchmarkCommit], of n
// changes each. Two such functions make the same.
func NewGenerator(n int) func() *model.Batch {
	l := &generator{}
	return func() *model.Batch { return l.batch(n) }
}

// generator makes batches in which tasks are at all stages of their lives.
type generator struct {
	seq     int64
	waiting []*model.TaskChange // the next change of each task that is under way
}

func (l *generator) batch(n int) *model.Batch {
	b := &model.Batch{Tasks: make([]model.TaskChange, 0, n)}
	due := l.waiting
	if len(due) > n-n/4 {
		due = due[:n-n/4]
	}
	l.waiting = l.waiting[len(due):]
	for _, c := range due {
		b.Tasks = append(b.Tasks, *c)
		if next := l.after(c); next != nil {
			l.waiting = append(l.waiting, next)
		}
	}
	for len(b.Tasks) < n {
		l.seq++
		t := task(fmt.Sprintf("01JD%022d", l.seq), l.seq)
		t.Options = model.Options{"out": {"file.iso"}, "split": {"4"}}
		c := put(t)
		b.Tasks = append(b.Tasks, c)
		l.waiting = append(l.waiting, l.after(&c))
	}
	return b
}

// after returns the change that follows in the task's life, nil at its end.
func (l *generator) after(c *model.TaskChange) *model.TaskChange {
	next := &model.TaskChange{ID: c.ID, From: c.To(), Set: model.SetStatus}
	state := &next.State
	state.UpdatedAt = 1_700_000_000_000
	switch next.From {
	case model.StatusPending:
		state.Status, state.WorkerID, state.Attempt, state.AssignedAt = model.StatusQueued, "worker-1", 1, state.UpdatedAt
		next.Set |= model.SetWorker | model.SetAttempt
	case model.StatusQueued:
		state.Status, state.GID, state.StartedAt = model.StatusDownloading, "2089b05ecca3d829", state.UpdatedAt
		next.Set |= model.SetGID | model.SetStarted | model.SetProgress
	case model.StatusDownloading:
		state.Status, state.LastWorkerID, state.FinishedAt, state.Progress = model.StatusCompleted, "worker-1", state.UpdatedAt, 100
		state.Result = &model.Result{Files: []model.File{{Path: "file.iso", Length: 1 << 30}}, TotalLength: 1 << 30, WorkerID: "worker-1"}
		next.Set |= model.SetWorker | model.SetLastWorker | model.SetFinished | model.SetProgress | model.SetResult
	default:
		return nil
	}
	return next
}
