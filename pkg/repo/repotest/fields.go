package repotest

import (
	"context"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/aria-cluster/dispatcher/pkg/model"
	"github.com/aria-cluster/dispatcher/pkg/repo"
)

func taskFieldsReturned(t *testing.T, s repo.Store) {
	full := fullTask("full", 7, model.StatusDownloading)
	mustCommit(t, s, batch(put(full)))
	want := *full
	want.Reason = "" // is computed, not stored
	same(t, "Tasks", get(t, s, "full"), &want)
	same(t, "Live", liveOf(t, s), asLive([]*model.Task{&want}))

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

func bareTaskReturned(t *testing.T, s repo.Store) {
	odd := &model.Task{TaskSpec: model.TaskSpec{ID: "odd", URL: "a\x1f\x00,b"}, Seq: 2,
		TaskState: model.TaskState{Status: model.StatusPending, GID: "\x1e,\x1e", Error: &model.TaskError{Message: "\x1e"}}}
	mustCommit(t, s, batch(put(odd)))
	same(t, "a task with odd texts", get(t, s, "odd"), odd)
	bare := &model.Task{TaskSpec: model.TaskSpec{ID: "bare"}, Seq: 1, TaskState: model.TaskState{Status: model.StatusPending}}
	mustCommit(t, s, batch(put(bare)))
	same(t, "Tasks", get(t, s, "bare"), bare)
}

func workerFieldsReturned(t *testing.T, s repo.Store) {
	full := fullWorker("w")
	mustCommit(t, s, &model.Batch{Workers: []model.WorkerChange{{ID: "w", Put: full}}})
	want := *full
	want.LastSeen, want.UsedSlots, want.Prefetch, want.DownloadSpeed, want.CurrentTasks, want.Dir, want.StatusReason = 0, 0, 0, 0, nil, "", "" // are computed or reported again, not stored
	got, err := s.Workers(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	same(t, "Workers", got, []*model.Worker{&want})
}

func workersReplaced(t *testing.T, s repo.Store) {
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

func setChangesItsFields(t *testing.T, s repo.Store) {
	seq := int64(0)
	for bit := model.SetStatus; bit&model.SetAll != 0; bit <<= 1 {
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
			if cleared {
				c.Seq = before.Seq // the store may find the row by it
			}
			want := c.Apply(get(t, s, before.ID))
			mustCommit(t, s, batch(c))
			same(t, fmt.Sprintf("Set %b, cleared %v", bit, cleared), get(t, s, before.ID), want)
			if reflect.DeepEqual(want, before) {
				t.Errorf("Set %b changes nothing: model.Fields and this test have come apart", bit)
			}
		}
	}
}
