package repotest

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/aria-cluster/dispatcher/pkg/model"
	"github.com/aria-cluster/dispatcher/pkg/repo"
)

// Run runs the suite. open returns a new, empty store each time and closes it at
// the end of the test.
func Run(t *testing.T, open func(t *testing.T) repo.Store) {
	for _, test := range []struct {
		name string
		run  func(t *testing.T, s repo.Store)
	}{
		{"an empty store answers", empty},
		{"every field of a task comes back", everyTaskField},
		{"a task without optional fields comes back", bareTask},
		{"every field of a worker comes back", everyWorkerField},
		{"workers are replaced and removed", workers},
		{"each field of a Set changes what it says and nothing else", eachField},
		{"folded changes are one", folded},
		{"a change that contradicts the store refuses the whole batch", allOrNothing},
		{"a malformed batch is refused", malformed},
		{"values that were read never change", immutable},
		{"a batch may be used again after its commit", reuse},
		{"big batches are written whole", bigBatch},
		{"counters equal a scan after any history", counters},
		{"live tasks come in the order of seq", live},
		{"a live task has what it has, whatever it lacks", liveMixtures},
		{"live tasks come from among many that have ended", liveAmongEnded},
		{"LastSeq is the highest that is there", lastSeq},
		{"a context that is done stops what has not begun", doneContext},
		{"a closed store refuses", closed},
		{"lists filter, order and page as a plain scan would", lists},
		{"a list that changes between pages has no gaps and no doubles", moving},
		{"a page examines a bounded number of rows", bounded},
		{"a cursor that no page gave is invalid", badCursor},
		{"the password of a url cannot be searched for", secretText},
		{"readers see whole commits only", concurrent},
		{"a deleted task leaves a tombstone until it is forgotten", graves},
		{"what expired is found in small steps", expiry},
		{"a snapshot stands still while the store goes on", snapshotStandsStill},
		{"a snapshot ends with its Close or its store's", snapshotEnds},
		{"snapshots show whole commits only", snapshotsAreWhole},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, open(t)) })
	}
}

func mustCommit(t testing.TB, s repo.Store, b *model.Batch) {
	t.Helper()
	if err := s.Commit(context.Background(), b); err != nil {
		t.Fatalf("Commit: %v", err)
	}
}

func mustRefuse(t *testing.T, s repo.Store, b *model.Batch) {
	t.Helper()
	if err := s.Commit(context.Background(), b); model.CodeOf(err) != model.CodeInternal {
		t.Errorf("Commit = %v, want a refusal (CodeInternal)", err)
	}
}

// get returns the task with the id, nil if it is not there.
func get(t testing.TB, s repo.Store, id string) *model.Task {
	t.Helper()
	found, err := s.Tasks(context.Background(), []string{id})
	if err != nil {
		t.Fatalf("Tasks: %v", err)
	}
	return found[id]
}

// same fails unless the two are equal; it prints them as JSON.
func same(t testing.TB, what string, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		g, _ := json.Marshal(got)
		w, _ := json.Marshal(want)
		t.Errorf("%s:\n got %s\nwant %s", what, g, w)
	}
}

func counts(t testing.TB, s repo.Store) model.Counts {
	t.Helper()
	c, err := s.Counts(context.Background())
	if err != nil {
		t.Fatalf("Counts: %v", err)
	}
	return c
}

func empty(t *testing.T, s repo.Store) {
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

func everyTaskField(t *testing.T, s repo.Store) {
	full := fullTask("full", 7, model.StatusDownloading)
	mustCommit(t, s, batch(put(full)))
	want := *full
	want.Reason = "" // is computed, not stored
	same(t, "Tasks", get(t, s, "full"), &want)
	same(t, "Live", liveOf(t, s), lively([]*model.Task{&want}))

	// A list may leave out the bytes of a torrent.
	page, err := s.List(context.Background(), &model.ListQuery{Limit: 1})
	if err != nil || len(page.Tasks) != 1 {
		t.Fatalf("List = %v, %v", page, err)
	}
	same(t, "List", withoutBytes(page.Tasks[0]), withoutBytes(&want))

	again := fullTask("full", 7, model.StatusFailed)
	fillAgain := int64(50_000)
	fill(reflect.ValueOf(&again.TaskSpec).Elem(), &fillAgain)
	again.ID, again.Reason = "full", ""
	mustCommit(t, s, batch(model.TaskChange{ID: "full", From: model.StatusDownloading, Put: again}))
	same(t, "a row that is put again", get(t, s, "full"), again)
}

func withoutBytes(t *model.Task) *model.Task {
	c := *t
	c.Torrent, c.Metalink = nil, nil
	return &c
}

func bareTask(t *testing.T, s repo.Store) {
	odd := &model.Task{TaskSpec: model.TaskSpec{ID: "odd", URL: "a\x1f\x00,b"}, Seq: 2,
		TaskState: model.TaskState{Status: model.StatusPending, GID: "\x1e,\x1e", Error: &model.TaskError{Message: "\x1e"}}}
	mustCommit(t, s, batch(put(odd)))
	same(t, "a task with odd texts", get(t, s, "odd"), odd)
	bare := &model.Task{TaskSpec: model.TaskSpec{ID: "bare"}, Seq: 1, TaskState: model.TaskState{Status: model.StatusPending}}
	mustCommit(t, s, batch(put(bare)))
	same(t, "Tasks", get(t, s, "bare"), bare)
}

func everyWorkerField(t *testing.T, s repo.Store) {
	full := fullWorker("w")
	mustCommit(t, s, &model.Batch{Workers: []model.WorkerChange{{ID: "w", Put: full}}})
	want := *full
	want.UsedSlots, want.CurrentTasks, want.Dir, want.StatusReason = 0, nil, "", "" // are computed or said again, not stored
	got, err := s.Workers(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	same(t, "Workers", got, []*model.Worker{&want})
}

func workers(t *testing.T, s repo.Store) {
	ids := func() string {
		got, err := s.Workers(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		var ids []string
		for _, w := range got {
			ids = append(ids, fmt.Sprintf("%s:%d", w.ID, w.Epoch))
		}
		return strings.Join(ids, " ")
	}
	change := func(id string, epoch int64) model.WorkerChange {
		return model.WorkerChange{ID: id, Put: &model.Worker{ID: id, Epoch: epoch}}
	}
	mustCommit(t, s, &model.Batch{Workers: []model.WorkerChange{change("c", 1), change("a", 1), change("b", 1)}})
	if got := ids(); got != "a:1 b:1 c:1" {
		t.Errorf("workers are %s, not in the order of their names", got)
	}
	mustCommit(t, s, &model.Batch{Workers: []model.WorkerChange{{ID: "a"}, change("c", 2), {ID: "never-seen"}}})
	if got := ids(); got != "b:1 c:2" {
		t.Errorf("workers are %s after a removal and a replacement", got)
	}
}

func eachField(t *testing.T, s repo.Store) {
	seq := int64(0)
	for bit := model.SetStatus; bit <= model.SetFinished; bit <<= 1 {
		seq++
		before := fullTask(fmt.Sprintf("t%d", seq), seq, model.StatusQueued)
		before.Reason = ""
		mustCommit(t, s, batch(put(before)))
		for _, cleared := range []bool{false, true} {
			var state model.TaskState
			if !cleared {
				n := int64(900_000)
				fill(reflect.ValueOf(&state).Elem(), &n)
			}
			state.Status = model.StatusDownloading
			c := model.TaskChange{ID: before.ID, From: get(t, s, before.ID).Status, Set: bit, State: state}
			want := c.Apply(get(t, s, before.ID))
			mustCommit(t, s, batch(c))
			same(t, fmt.Sprintf("Set %b, cleared %v", bit, cleared), get(t, s, before.ID), want)
			if reflect.DeepEqual(want, before) {
				t.Errorf("Set %b changes nothing: model.Fields and this test have come apart", bit)
			}
		}
	}
}

func folded(t *testing.T, s repo.Store) {
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

func allOrNothing(t *testing.T, s repo.Store) {
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
	// The store goes on.
	mustCommit(t, s, batch(become("a", model.StatusPending, model.StatusQueued)))
}

func malformed(t *testing.T, s repo.Store) {
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

func immutable(t *testing.T, s repo.Store) {
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

func reuse(t *testing.T, s repo.Store) {
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

func bigBatch(t *testing.T, s repo.Store) {
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

func counters(t *testing.T, s repo.Store) {
	h := newHistory(11)
	for range 60 {
		mustCommit(t, s, h.next(40))
	}
	want := make(model.Counts)
	for _, status := range model.Statuses {
		want[status] = 0
	}
	for _, task := range h.tasks {
		want[task.Status]++
	}
	same(t, "Counts", counts(t, s), want)
	found, err := s.Tasks(context.Background(), h.ids)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "all tasks", found, h.tasks)
}

func lastSeq(t *testing.T, s repo.Store) {
	check := func(want int64) {
		t.Helper()
		if got, err := s.LastSeq(context.Background()); err != nil || got != want {
			t.Errorf("LastSeq = %d, %v; want %d", got, err, want)
		}
	}
	mustCommit(t, s, batch(put(task("a", 5)), put(task("b", 900)), put(task("c", 7))))
	check(900)
	mustCommit(t, s, batch(become("b", model.StatusPending, model.StatusFailed)))
	check(900)
	mustCommit(t, s, batch(model.TaskChange{ID: "b", From: model.StatusFailed, Delete: true}))
	check(7)
}

func doneContext(t *testing.T, s repo.Store) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := s.Commit(ctx, batch(put(task("a", 1)))); err == nil {
		t.Error("Commit went on")
	}
	if _, err := s.Tasks(ctx, []string{"a"}); err == nil {
		t.Error("Tasks went on")
	}
	for _, err := range s.Live(ctx) {
		if err == nil {
			t.Error("Live went on")
		}
	}
	if get(t, s, "a") != nil {
		t.Error("the task was written")
	}
	mustCommit(t, s, batch(put(task("a", 1))))
}

func closed(t *testing.T, s repo.Store) {
	ctx := context.Background()
	mustCommit(t, s, batch(put(task("a", 1))))
	if err := s.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("a second Close: %v", err)
	}
	errs := map[string]error{"Commit": s.Commit(ctx, batch(put(task("b", 2))))}
	_, errs["Tasks"] = s.Tasks(ctx, []string{"a"})
	_, errs["List"] = s.List(ctx, &model.ListQuery{Limit: 1})
	_, errs["Counts"] = s.Counts(ctx)
	_, errs["Workers"] = s.Workers(ctx)
	_, errs["LastSeq"] = s.LastSeq(ctx)
	for _, err := range s.Live(ctx) {
		errs["Live"] = err
	}
	for _, name := range slices.Sorted(maps.Keys(errs)) {
		if model.CodeOf(errs[name]) != model.CodeUnavailable {
			t.Errorf("%s after Close: %v, want CodeUnavailable", name, errs[name])
		}
	}
	if errs["Live"] == nil {
		t.Error("Live after Close yields no error")
	}
}
