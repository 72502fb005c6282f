package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// TestHeartbeatReply_FitsMaxBody checks that an answer above the limit leaves entries
// out.
func TestHeartbeatReply_FitsMaxBody(t *testing.T) {
	a := &model.HeartbeatAnswer{HeartbeatInterval: model.Seconds(30)}
	for i := range 100 {
		id := fmt.Sprint("t", i)
		a.Drop = append(a.Drop, model.Drop{ID: id, Attempt: 1, Reason: model.DropCanceled})
		a.Forget = append(a.Forget, model.TaskRef{ID: id, Attempt: 1})
		a.Assign = append(a.Assign, model.Assignment{Attempt: 1, Task: &model.Task{TaskSpec: model.TaskSpec{ID: id, URL: strings.Repeat("u", 1000*(i%3))}}})
	}
	whole := len(heartbeatReply(a, 1<<20).Body)
	for limit := 100; limit < whole+1000; limit += 9973 {
		r := heartbeatReply(a, limit)
		if r.Err != nil || len(r.Body) > limit {
			t.Fatalf("%d bytes for %d, %v", len(r.Body), limit, r.Err)
		}
		var got model.HeartbeatAnswer
		if err := json.Unmarshal(r.Body, &got); err != nil {
			t.Fatal(err)
		}
		if limit > 15_000 && (len(got.Drop) != 100 || len(got.Forget) != 100 || len(got.Assign) == 0) {
			t.Errorf("in %d bytes: %d drop, %d forget, %d assign", limit, len(got.Drop), len(got.Forget), len(got.Assign))
		}
		if limit >= whole && len(got.Assign) != 100 {
			t.Errorf("in %d bytes, which is enough: %d assign", limit, len(got.Assign))
		}
	}
	if len(a.Assign) != 100 {
		t.Error("the backend's answer was changed")
	}
}

// TestEncodeTask_LeavesOutFilesToFit checks that a task above the limit loses files of
// its result.
func TestEncodeTask_LeavesOutFilesToFit(t *testing.T) {
	task := &model.Task{TaskSpec: model.TaskSpec{ID: "t1", URL: "https://u:secret@h/?a=1&b=<2>", Torrent: []byte("x")}}
	task.Result = &model.Result{TotalLength: 5}
	for range 100 {
		task.Result.Files = append(task.Result.Files, model.File{Path: strings.Repeat("p", 100)})
	}
	for _, limit := range []int{20_000, 5000, 700} {
		b, err := encodeTask(task, limit, (*model.Task).Public)
		if err != nil || len(b) > limit {
			t.Fatalf("%d bytes for %d, %v", len(b), limit, err)
		}
		if s := string(b); strings.Contains(s, "secret") || strings.Contains(s, "torrent") || !strings.Contains(s, "a=1&b=") || !strings.Contains(s, `"total_length":5`) {
			t.Errorf("got %s", s)
		}
	}
	_, err := encodeTask(task, 100, (*model.Task).Public)
	if e := model.AsError(err); e == nil || e.Code != model.CodeTooLarge || e.ID != "t1" || !strings.Contains(e.Message, "t1") {
		t.Errorf("without room: %v", err)
	}
	if len(task.Result.Files) != 100 {
		t.Error("the shared task was changed")
	}
}

// TestAnswer_UnencodableValueIs500 checks that a value that cannot be encoded is a 500.
func TestAnswer_UnencodableValueIs500(t *testing.T) {
	if r := answer(math.NaN()); r.Err == nil || r.Err.Code != 500 {
		t.Errorf("got %+v", r)
	}
}

// TestIDSource_IDsRiseAndAreValid checks that generated ids rise and are valid names.
func TestIDSource_IDsRiseAndAreValid(t *testing.T) {
	s, last := newIDSource(), ""
	for range 10_000 {
		id := s.next()
		if id <= last || !model.ValidName(id) {
			t.Fatalf("%s after %s", id, last)
		}
		last = id
	}
}

// A row that fits into no message is shown shorter: it must not hide the other rows of a list.
func TestEncodeRow_LongRowIsShortened(t *testing.T) {
	w := &model.Worker{ID: "w1", CurrentTasks: []string{}}
	for i := range 20_000 {
		w.CurrentTasks = append(w.CurrentTasks, fmt.Sprintf("task-%059d", i))
	}
	for range model.MaxErrorHistory {
		w.ErrorHistory = append(w.ErrorHistory, model.ErrorEntry{Message: strings.Repeat("\x01", model.MaxMessage)})
	}
	w.Capabilities.Folders = slices.Repeat([]string{strings.Repeat("f", 200)}, 64)
	task := &model.Task{
		TaskSpec: model.TaskSpec{ID: "t1", URL: "http://h/" + strings.Repeat("x", 8000), Mirrors: slices.Repeat([]string{"http://h/" + strings.Repeat("y", 8000)}, 15)},
		Client:   "c", TaskState: model.TaskState{Status: model.StatusPending},
	}
	for _, room := range []int{1 << 20, 60 << 10, 8 << 10} {
		worker, err := encodeWorker(w, room)
		var gotWorker model.Worker
		if err := errors.Join(err, json.Unmarshal(worker, &gotWorker)); err != nil || len(worker) > room || gotWorker.ID != "w1" || gotWorker.CurrentTasks == nil {
			t.Errorf("a worker in %d bytes: %d bytes, %v", room, len(worker), err)
		}
		if full := len(worker) > room-100; !full && len(gotWorker.CurrentTasks) < len(w.CurrentTasks) {
			t.Errorf("a worker in %d bytes has %d tasks and room for more", room, len(gotWorker.CurrentTasks))
		}
		row, err := encodeTaskRow(task, room)
		var gotTask model.Task
		if err := errors.Join(err, json.Unmarshal(row, &gotTask)); err != nil || len(row) > room || gotTask.ID != "t1" || gotTask.Status != model.StatusPending {
			t.Errorf("a task in %d bytes: %d bytes, %v", room, len(row), err)
		}
		if whole := gotTask.URL != ""; whole != (room == 1<<20) || whole != (gotTask.Reason == "") {
			t.Errorf("a task in %d bytes: %.100s", room, row)
		}
	}
}
