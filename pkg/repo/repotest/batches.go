package repotest

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"

	"github.com/aria-cluster/dispatcher/pkg/model"
	"github.com/aria-cluster/dispatcher/pkg/repo"
)

func emptyStoreAnswers(t *testing.T, s repo.Store) {
	ctx := context.Background()
	want := make(model.Counts)
	for _, status := range model.Statuses {
		want[status] = 0
	}
	same(t, "Counts", counts(t, s), want)
	if seq, err := s.LastSeq(ctx); seq != 0 || err != nil {
		t.Errorf("LastSeq = %d, %v", seq, err)
	}
	if got := liveOf(t, s); got != nil {
		t.Errorf("Live yields %v", got)
	}
	if got, err := s.Workers(ctx); len(got) != 0 || err != nil {
		t.Errorf("Workers = %v, %v", got, err)
	}
	if got, err := s.Tasks(ctx, []string{"none"}); len(got) != 0 || err != nil {
		t.Errorf("Tasks = %v, %v", got, err)
	}
	if got, err := s.Tasks(ctx, nil); len(got) != 0 || err != nil {
		t.Errorf("Tasks of no ids = %v, %v", got, err)
	}
	page, err := s.List(ctx, &model.ListQuery{Limit: 10})
	if err != nil {
		t.Fatal(err)
	}
	if b, _ := json.Marshal(page); string(b) != `{"tasks":[],"next":""}` {
		t.Errorf("List = %s", b)
	}
	mustCommit(t, s, &model.Batch{})
}

func foldedChanges(t *testing.T, s repo.Store) {
	c := put(task("a", 1))
	assign := become("a", model.StatusPending, model.StatusQueued)
	assign.Set |= model.SetWorker
	assign.State.WorkerID = "w1"
	c.Fold(&assign)
	gone := put(task("b", 2))
	gone.Fold(&model.TaskChange{ID: "b", Delete: true})
	mustCommit(t, s, batch(c, gone))
	if got := get(t, s, "a"); got == nil || got.Status != model.StatusQueued || got.WorkerID != "w1" {
		t.Errorf("submitted and assigned at once: %+v", got)
	}
	if get(t, s, "b") != nil {
		t.Error("a task that was born and deleted in one batch is there")
	}
	if c := counts(t, s); c.Total() != 1 || c[model.StatusQueued] != 1 {
		t.Errorf("Counts = %v", c)
	}
	mustRefuse(t, s, batch(model.TaskChange{ID: "a", Delete: true}))

	c = become("a", model.StatusQueued, model.StatusCompleted)
	c.Fold(&model.TaskChange{ID: "a", Delete: true})
	mustCommit(t, s, batch(c))
	if got := counts(t, s).Total(); get(t, s, "a") != nil || got != 0 {
		t.Errorf("a task that was ended and deleted in one batch is there, or counted: %d", got)
	}
}

func contradictionRefusesBatch(t *testing.T, s repo.Store) {
	mustCommit(t, s, &model.Batch{
		Tasks:   []model.TaskChange{put(task("a", 1)), put(task("b", 2)), put(task("c", 3))},
		Workers: []model.WorkerChange{{ID: "w", Put: &model.Worker{ID: "w", Epoch: 1}}},
	})
	moved := *task("b", 9)
	taken := task("z", 2)
	for name, bad := range map[string]model.TaskChange{
		"a Set from another status":       become("b", model.StatusQueued, model.StatusCompleted),
		"a Set of no task":                become("nobody", model.StatusPending, model.StatusQueued),
		"a Put of a new row that is":      put(task("b", 9)),
		"a Put over another status":       {ID: "b", From: model.StatusPaused, Put: task("b", 2)},
		"a Put over nothing":              {ID: "nobody", From: model.StatusPending, Put: task("nobody", 9)},
		"a Put that moves the row":        {ID: "b", From: model.StatusPending, Put: &moved},
		"a Put at another task's seq":     put(taken),
		"a Delete from another status":    {ID: "b", From: model.StatusFailed, Delete: true},
		"a Delete of no task":             {ID: "nobody", From: model.StatusFailed, Delete: true},
		"a Delete of a row as if unknown": {ID: "b", Delete: true},
	} {
		mustRefuse(t, s, &model.Batch{
			Tasks: []model.TaskChange{
				put(task("new1", 101)), become("a", model.StatusPending, model.StatusQueued), bad,
				put(task("new2", 102)), {ID: "c", From: model.StatusPending, Delete: true},
			},
			Workers: []model.WorkerChange{{ID: "w", Put: &model.Worker{ID: "w", Epoch: 2}}},
		})
		for id, want := range map[string]*model.Task{"a": task("a", 1), "b": task("b", 2), "c": task("c", 3),
			"new1": nil, "new2": nil, "nobody": nil, "z": nil} {
			same(t, name+": task "+id, get(t, s, id), want)
		}
		if c := counts(t, s); c.Total() != 3 || c[model.StatusPending] != 3 {
			t.Errorf("%s: Counts = %v", name, c)
		}
		if got, err := s.Workers(context.Background()); err != nil || len(got) != 1 || got[0].Epoch != 1 {
			t.Errorf("%s: the worker was written: %v, %v", name, got, err)
		}
	}
	mustRefuse(t, s, batch(put(task("x", 200)), put(task("y", 200)))) // two at one seq
	other := become("a", model.StatusPending, model.StatusQueued)
	other.Seq = 9999 // of no row
	mustRefuse(t, s, batch(other))
	// The store still works.
	mustCommit(t, s, batch(become("a", model.StatusPending, model.StatusQueued)))
}

func malformedBatchRefused(t *testing.T, s repo.Store) {
	mustRefuse(t, s, batch(put(task("a", 1)), put(task("a", 1))))
	mustRefuse(t, s, batch(put(task("a", 0))))
	mustRefuse(t, s, batch(model.TaskChange{ID: "a"}))
	split := task("a", 1)
	split.URL += "\x1e"
	mustRefuse(t, s, batch(put(split)))
	if got := counts(t, s).Total(); got != 0 {
		t.Errorf("%d tasks were written", got)
	}
}

func readValuesImmutable(t *testing.T, s repo.Store) {
	first := task("a", 1)
	mustCommit(t, s, batch(put(first)))
	kept := *first
	read := get(t, s, "a")
	c := become("a", model.StatusPending, model.StatusFailed)
	c.Set |= model.SetError | model.SetWorker
	c.State.WorkerID, c.State.Error = "w", &model.TaskError{Code: 3}
	mustCommit(t, s, batch(c))
	same(t, "the value that was put", first, &kept)
	same(t, "the value that was read", read, &kept)
}

func batchReusable(t *testing.T, s repo.Store) {
	b := batch(put(task("a", 1)))
	mustCommit(t, s, b)
	b.Tasks[0] = become("a", model.StatusPending, model.StatusQueued)
	mustCommit(t, s, b)
	b.Tasks[0].State.Status = model.StatusFailed
	b.Tasks[0].ID = "other"
	if got := get(t, s, "a"); got.Status != model.StatusQueued {
		t.Errorf("the store follows the batch after its commit: %s", got.Status)
	}
}

func bigBatchWritten(t *testing.T, s repo.Store) {
	const n = 1237 // no multiple of any size that a store may write at once
	b := &model.Batch{}
	var ids []string
	for i := range int64(n) {
		b.Tasks = append(b.Tasks, put(task(fmt.Sprintf("t%d", i), n-i))) // seqs fall
		ids = append(ids, fmt.Sprintf("t%d", i))
	}
	mustCommit(t, s, b)
	found, err := s.Tasks(context.Background(), ids)
	if err != nil || len(found) != n {
		t.Fatalf("Tasks gives %d of %d, %v", len(found), n, err)
	}
	for i, id := range ids {
		if found[id].Seq != n-int64(i) || found[id].URL != "http://host.example/"+id {
			t.Fatalf("%s came back as %+v", id, found[id])
		}
	}
}
