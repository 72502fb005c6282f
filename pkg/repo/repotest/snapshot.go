package repotest

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/aria-cluster/dispatcher/pkg/model"
	"github.com/aria-cluster/dispatcher/pkg/repo"
)

func mustSnapshot(t testing.TB, s repo.Snapshotter) repo.Snapshot {
	t.Helper()
	snap, err := s.Snapshot(context.Background())
	if err != nil {
		t.Fatalf("Snapshot: %v", err)
	}
	t.Cleanup(func() {
		if err := snap.Close(); err != nil {
			t.Errorf("closing a snapshot: %v", err)
		}
	})
	return snap
}

// snapshotContent is all that a snapshot shows.
type snapshotContent struct {
	Tasks   []*model.Task
	Workers []*model.Worker
	Counts  model.Counts
}

func readSnapshot(t testing.TB, snap repo.Snapshot, after int64) snapshotContent {
	t.Helper()
	var all snapshotContent
	for task, err := range snap.Tasks(context.Background(), after) {
		if err != nil {
			t.Fatalf("Tasks of a snapshot: %v", err)
		}
		all.Tasks = append(all.Tasks, task)
	}
	var err error
	if all.Workers, err = snap.Workers(context.Background()); err != nil {
		t.Fatalf("Workers of a snapshot: %v", err)
	}
	if all.Counts, err = snap.Counts(context.Background()); err != nil {
		t.Fatalf("Counts of a snapshot: %v", err)
	}
	return all
}

// expectedContent is what a snapshot of a store with that history and those workers shows.
func (h *history) expectedContent(after int64, workers ...*model.Worker) snapshotContent {
	all := snapshotContent{Counts: make(model.Counts)}
	for _, status := range model.Statuses {
		all.Counts[status] = 0
	}
	held := make(map[string][]string)
	for _, task := range h.tasks {
		if task.Seq > after {
			all.Tasks = append(all.Tasks, task)
		}
		all.Counts[task.Status]++
		held[task.WorkerID] = append(held[task.WorkerID], task.ID)
	}
	slices.SortFunc(all.Tasks, func(a, b *model.Task) int { return int(a.Seq - b.Seq) })
	for _, w := range workers {
		c := *w
		c.CurrentTasks, c.UsedSlots = held[w.ID], len(held[w.ID])
		if slices.Sort(c.CurrentTasks); c.CurrentTasks == nil {
			c.CurrentTasks = []string{}
		}
		all.Workers = append(all.Workers, &c)
	}
	return all
}

func snapshotIsConsistent(t *testing.T, s repo.Store) {
	h := newHistory(31)
	workers := []*model.Worker{{ID: "w1", TotalSlots: 3}, {ID: "w2"}, {ID: "w3"}} // the last holds nothing
	b := &model.Batch{}
	for _, w := range workers {
		b.Workers = append(b.Workers, model.WorkerChange{ID: w.ID, Put: w})
	}
	mustCommit(t, s, b)
	for range 40 {
		mustCommit(t, s, h.next(60))
	}
	middle := h.tasks[h.ids[len(h.ids)/2]].Seq
	want, wantRest := h.expectedContent(0, workers...), h.expectedContent(middle, workers...)
	if len(want.Workers[0].CurrentTasks) == 0 || len(wantRest.Tasks) == len(want.Tasks) {
		t.Fatal("the history tests too little")
	}
	snap := mustSnapshot(t, s)
	same(t, "a snapshot", readSnapshot(t, snap, 0), want)
	next := mustSnapshot(t, s)
	for range 20 { // while commits continue, all tasks change
		mustCommit(t, s, h.next(200))
	}
	mustCommit(t, s, &model.Batch{Workers: []model.WorkerChange{{ID: "w1"}, {ID: "w3"}}})
	same(t, "the snapshot, later", readSnapshot(t, snap, 0), want)
	same(t, "its end", readSnapshot(t, snap, middle), wantRest)
	for task, err := range snap.Tasks(context.Background(), 0) { // may be left early,
		if err != nil || task.Seq != want.Tasks[0].Seq {
			t.Errorf("the snapshot begins with %v, %v", task, err)
		}
		break
	}
	n := 0
	for task, err := range snap.Tasks(context.Background(), 0) { // and asked within
		if err != nil {
			t.Fatal(err)
		}
		if n++; n%100 == 0 {
			same(t, "the rest, within", readSnapshot(t, snap, task.Seq).Tasks, want.Tasks[n:])
		}
	}
	if n != len(want.Tasks) {
		t.Errorf("a walk with others in it yields %d of %d tasks", n, len(want.Tasks))
	}
	same(t, "one that was not read before", readSnapshot(t, next, 0), want)
	same(t, "a new one", readSnapshot(t, mustSnapshot(t, s), 0), h.expectedContent(0, workers[1]))
}

func snapshotClosed(t *testing.T, s repo.Store) {
	ctx := context.Background()
	mustCommit(t, s, batch(put(task("a", 1))))
	refuses := func(what string, snap repo.Snapshot) {
		t.Helper()
		errs := make(map[string]error)
		for _, err := range snap.Tasks(ctx, 0) {
			errs["Tasks"] = err
		}
		_, errs["Workers"] = snap.Workers(ctx)
		_, errs["Counts"] = snap.Counts(ctx)
		for _, name := range []string{"Tasks", "Workers", "Counts"} {
			if model.CodeOf(errs[name]) != model.CodeUnavailable {
				t.Errorf("%s of %s: %v, want CodeUnavailable", name, what, errs[name])
			}
		}
		if err := snap.Close(); err != nil {
			t.Errorf("closing %s again: %v", what, err)
		}
	}
	done, cancel := context.WithCancel(ctx)
	cancel()
	snap := mustSnapshot(t, s)
	for _, err := range snap.Tasks(done, 0) {
		if err == nil {
			t.Error("Tasks of a snapshot continued after its context")
		}
	}
	if got := readSnapshot(t, snap, 0); len(got.Tasks) != 1 {
		t.Errorf("after a read that was broken off the snapshot has %d tasks", len(got.Tasks))
	}
	if err := snap.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	refuses("a closed snapshot", snap)

	left := mustSnapshot(t, s)
	if err := s.Close(); err != nil {
		t.Errorf("Close of the store with a snapshot open: %v", err)
	}
	refuses("a snapshot of a closed store", left)
	if _, err := s.Snapshot(ctx); model.CodeOf(err) != model.CodeUnavailable {
		t.Errorf("Snapshot of a closed store: %v, want CodeUnavailable", err)
	}
}

// snapshotsShowWholeCommits takes snapshots while commits continue: each shows a moment
// between two commits, never the inside of one.
func snapshotsShowWholeCommits(t *testing.T, s repo.Store) {
	const pairs = 40
	b := &model.Batch{}
	for i := range int64(2 * pairs) {
		b.Tasks = append(b.Tasks, put(task(fmt.Sprintf("t%03d", i), i+1)))
	}
	mustCommit(t, s, b)
	stop, stopped := make(chan struct{}), make(chan error, 1)
	go func() {
		from, to := model.StatusPending, model.StatusQueued
		for round := 0; ; round++ {
			select {
			case <-stop:
				stopped <- nil
				return
			default:
			}
			b := &model.Batch{}
			for i := range 2 * pairs {
				b.Tasks = append(b.Tasks, become(fmt.Sprintf("t%03d", i), from, to))
			}
			if err := s.Commit(context.Background(), b); err != nil {
				stopped <- err
				return
			}
			from, to = to, from
		}
	}()
	for range 30 {
		snap := mustSnapshot(t, s)
		all := readSnapshot(t, snap, 0)
		for _, task := range all.Tasks {
			if task.Status != all.Tasks[0].Status || all.Counts[task.Status] != 2*pairs {
				t.Fatalf("a snapshot shows the inside of a commit: %s is %s, %v", task.ID, task.Status, all.Counts)
			}
		}
		if len(all.Tasks) != 2*pairs || snap.Close() != nil {
			t.Fatalf("a snapshot shows %d tasks", len(all.Tasks))
		}
	}
	close(stop)
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}
