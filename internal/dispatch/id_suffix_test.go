package dispatch

import (
	"fmt"
	"slices"
	"testing"

	"github.com/aria-cluster/dispatcher/pkg/model"
	"github.com/aria-cluster/dispatcher/pkg/repo/memory"
)

// A task is found by the end of its id in one answer: each live one, however old, and
// those of the newest ended ones.
func TestTasks_IDSuffixIsOneAnswer(t *testing.T) {
	store := &gateStore{Store: memory.New()}
	seq := int64(0)
	add := func(id, client string, status model.Status) model.TaskChange {
		seq++
		return model.TaskChange{ID: id, Put: &model.Task{
			TaskSpec: model.TaskSpec{ID: id, URL: "https://files.example/a", Priority: model.PriorityNormal}, Client: client, Seq: seq,
			TaskState: model.TaskState{Status: status},
		}}
	}
	b := &model.Batch{Tasks: []model.TaskChange{
		add("paused-aaaaaa", "shop", model.StatusPaused), add("other-aaaaaa", "bank", model.StatusPaused), add("old-ended-aaaaaa", "shop", model.StatusCompleted),
	}}
	for range 10_000 {
		b.Tasks = append(b.Tasks, add(fmt.Sprintf("filler-%06d", seq), "shop", model.StatusCompleted))
	}
	b.Tasks = append(b.Tasks, add("new-ended-aaaaaa", "shop", model.StatusFailed))
	for range 6000 {
		b.Tasks = append(b.Tasks, add(fmt.Sprintf("filler-%06d", seq), "shop", model.StatusCanceled))
	}
	if err := store.Commit(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	f := start(t, store)
	for _, c := range []struct {
		name string
		q    model.ListQuery
		want []string
		next bool
	}{
		{"of a client", model.ListQuery{Client: "shop"}, []string{"new-ended-aaaaaa", "paused-aaaaaa"}, false},
		{"of all clients", model.ListQuery{}, []string{"new-ended-aaaaaa", "other-aaaaaa", "paused-aaaaaa"}, false},
		{"the oldest first", model.ListQuery{Client: "shop", Order: model.OrderOldest, Status: []model.Status{model.StatusPaused, model.StatusFailed}}, []string{"paused-aaaaaa", "new-ended-aaaaaa"}, false},
		{"of a status", model.ListQuery{Client: "shop", Status: []model.Status{model.StatusFailed}}, []string{"new-ended-aaaaaa"}, false},
		{"more than the limit", model.ListQuery{Client: "shop", Limit: 1}, []string{"new-ended-aaaaaa"}, true},
		{"of another client", model.ListQuery{Client: "bank", Status: []model.Status{model.StatusCompleted}}, nil, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.q.IDSuffix = "aaaaaa"
			if err := c.q.Validate(); err != nil {
				t.Fatal(err)
			}
			page, err := f.Tasks(t.Context(), &c.q)
			if err != nil {
				t.Fatal(err)
			}
			var ids []string
			for _, row := range page.Tasks {
				ids = append(ids, row.ID)
			}
			if !slices.Equal(ids, c.want) || (page.Next != "") != c.next {
				t.Errorf("it lists %v with next %q, want %v", ids, page.Next, c.want)
			}
		})
	}
}
