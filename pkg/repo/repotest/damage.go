package repotest

import (
	"context"
	"strings"
	"testing"

	"github.com/aria-cluster/dispatcher/pkg/model"
	"github.com/aria-cluster/dispatcher/pkg/repo"
)

// DamagedRows checks that rows which another program has spoiled hide no others: they come
// with what is wrong with them, and a snapshot, from which copies are made, names them. exec
// executes SQL in the database of the store, which is empty.
func DamagedRows(t *testing.T, s repo.Store, exec func(sql string)) {
	b := batch(put(task("a", 1)), put(task("b", 2)), put(task("c", 3)))
	for _, id := range []string{"w1", "w2"} {
		b.Workers = append(b.Workers, model.WorkerChange{ID: id, Put: &model.Worker{ID: id, Hostname: "host", Status: model.WorkerOnline}})
	}
	mustCommit(t, s, b)
	mustCommit(t, s, batch(become("c", model.StatusPending, model.StatusCanceled)))
	exec(`UPDATE tasks SET tags = '{bad', mirrors = '{}' WHERE id = 'a'`)
	exec(`UPDATE tasks SET options = '[1]' WHERE id = 'c'`)
	exec(`UPDATE workers SET capabilities = '{' WHERE id = 'w1'`)
	ctx := context.Background()
	want := map[string][]string{"a": {"tags", "mirrors"}, "b": nil, "c": {"options"}}
	check := func(what string, tasks []*model.Task, want map[string][]string) {
		t.Helper()
		for _, row := range tasks {
			for _, column := range want[row.ID] {
				if !strings.Contains(row.Damage, "its "+column+": ") {
					t.Errorf("%s: the damage of %s is %q, without %s", what, row.ID, row.Damage, column)
				}
			}
			if row.ID == "" || row.Client == "" || row.URL == "" || len(want[row.ID]) == 0 && row.Damage != "" {
				t.Errorf("%s: %+v", what, row)
			}
		}
		if len(tasks) != len(want) {
			t.Errorf("%s: %d tasks, want %d", what, len(tasks), len(want))
		}
	}
	check("Live", liveOf(t, s), map[string][]string{"a": {"tags"}, "b": nil})
	page, err := s.List(ctx, &model.ListQuery{Limit: 10})
	if err != nil {
		t.Fatal(err)
	}
	check("List", page.Tasks, want)
	byID, err := s.Tasks(ctx, []string{"a", "b", "c"})
	if err != nil {
		t.Fatal(err)
	}
	check("Tasks", []*model.Task{byID["a"], byID["b"], byID["c"]}, want)
	workers, err := s.Workers(ctx)
	if err != nil || len(workers) != 2 || workers[0].Hostname != "host" || !strings.Contains(workers[0].Damage, "capabilities") || workers[1].Damage != "" {
		t.Errorf("Workers: %+v, %v", workers, err)
	}
	snap := mustSnapshot(t, s)
	for _, err = range snap.Tasks(ctx, 0) {
		if err != nil {
			break
		}
	}
	if err == nil || !strings.Contains(err.Error(), `"a"`) {
		t.Errorf("a snapshot of the tasks: %v", err)
	}
	if _, err := snap.Workers(ctx); err == nil || !strings.Contains(err.Error(), `"w1"`) {
		t.Errorf("a snapshot of the workers: %v", err)
	}
	exec(`UPDATE tasks SET seq = 9223372036854775807 WHERE id = 'c'`)
	if last, err := s.LastSeq(ctx); last != 2 || err != nil {
		t.Errorf("beside a seq that leaves none free: the last one is %d, %v", last, err)
	}
}
