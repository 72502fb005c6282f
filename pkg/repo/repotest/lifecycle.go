package repotest

import (
	"context"
	"maps"
	"slices"
	"testing"

	"github.com/aria-cluster/dispatcher/pkg/model"
	"github.com/aria-cluster/dispatcher/pkg/repo"
)

func countersEqualScan(t *testing.T, s repo.Store) {
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

func lastSeqIsHighest(t *testing.T, s repo.Store) {
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

func doneContextStops(t *testing.T, s repo.Store) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := s.Commit(ctx, batch(put(task("a", 1)))); err == nil {
		t.Error("Commit continued")
	}
	if _, err := s.Tasks(ctx, []string{"a"}); err == nil {
		t.Error("Tasks continued")
	}
	for _, err := range s.Live(ctx) {
		if err == nil {
			t.Error("Live continued")
		}
	}
	if get(t, s, "a") != nil {
		t.Error("the task was written")
	}
	mustCommit(t, s, batch(put(task("a", 1))))
}

func closedStoreRefuses(t *testing.T, s repo.Store) {
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
