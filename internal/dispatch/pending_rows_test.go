package dispatch

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/aria-cluster/dispatcher/internal/engine"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// TestTurn_ReadsRowsOfAssignmentsOnlyIfItMust: the rows of tasks that wait are at hand, in
// bounds, until something has changed them.
func TestTurn_ReadsRowsOfAssignmentsOnlyIfItMust(t *testing.T) {
	faster := model.PriorityHigh
	for name, test := range map[string]struct {
		before func(*fixture) // after the submit
		reads  int32
		url    string
	}{
		"a task that waited": {func(*fixture) {}, 0, "https://files.example/a"},
		"a task that was paused and resumed": {func(f *fixture) {
			f.do(engine.Pause{Client: "shop", ID: "a"}, engine.Resume{Client: "shop", ID: "a"})
		}, 1, "https://files.example/a"},
		"a task with another priority": {func(f *fixture) {
			f.do(engine.Update{Client: "shop", ID: "a", Change: &model.TaskUpdate{Priority: &faster}})
		}, 0, "https://files.example/a"},
		"a task with another url": {func(f *fixture) {
			url := "https://files.example/other"
			f.do(engine.Update{Client: "shop", ID: "a", Change: &model.TaskUpdate{URL: &url}})
		}, 0, "https://files.example/other"},
		"after a reload": {func(f *fixture) {
			f.store.mu.Lock()
			f.store.after = errors.New("the answer is lost")
			f.store.mu.Unlock()
			f.do(submit("b"))
			f.untilDone(submit("b"))
			f.do(engine.Cancel{Client: "shop", ID: "b"})
		}, 1, "https://files.example/a"},
	} {
		t.Run(name, func(t *testing.T) {
			f := start(t, newStore())
			f.do(submit("a"))
			test.before(f)
			f.store.reads.Store(0)
			f.do(heartbeat(1))
			if want := fmt.Sprintf("assign a#1 %s to w1", test.url); !f.sent.has(want) {
				t.Errorf("%q was not sent: %q", want, f.sent.words)
			}
			if got := f.store.reads.Load(); got != test.reads {
				t.Errorf("%d rows were read, want %d", got, test.reads)
			}
		})
	}
}

// TestPendingRows_AreBounded: what does not fit is left out, and leaves its room.
func TestPendingRows_AreBounded(t *testing.T) {
	var p pendingRows
	put := func(i int) model.TaskChange {
		spec := model.TaskSpec{ID: fmt.Sprint("t", i), Torrent: make([]byte, model.MaxInline)}
		state := model.TaskState{Status: model.StatusPending, History: make([]model.PastAttempt, 20), Error: &model.TaskError{Message: "it broke"}}
		return model.TaskChange{ID: spec.ID, Put: &model.Task{TaskSpec: spec, TaskState: state}}
	}
	fit := maxPendingRows / (model.MaxInline + 1000)
	for i := range 2 * fit {
		p.apply([]model.TaskChange{put(i)}, map[string]*model.Task{})
	}
	if len(p.rows) != fit || p.size > maxPendingRows {
		t.Fatalf("%d rows of %d bytes are kept, want %d in %d", len(p.rows), p.size, fit, maxPendingRows)
	}
	if first := p.rows["t0"].task; first == nil || first.History != nil {
		t.Errorf("the first row, which is assigned first, is kept as %+v, want it without its history", first)
	}
	for i := range 2 * fit {
		c := put(i)
		p.apply([]model.TaskChange{{ID: c.ID, From: model.StatusPending, Delete: true}}, map[string]*model.Task{})
	}
	if len(p.rows) != 0 || p.size != 0 {
		t.Errorf("%d rows of %d bytes are kept of tasks that are deleted", len(p.rows), p.size)
	}
}

// panickingReads is a store whose reads panic.
type panickingReads struct{ Store }

func (panickingReads) Tasks(context.Context, []string) (map[string]*model.Task, error) {
	panic("a row that cannot be read")
}

// TestPendingRows_EndWithAPanic: where the answers of a turn cannot be made, a change may have been
// missed.
func TestPendingRows_EndWithAPanic(t *testing.T) {
	turn := NewTurn(engine.Config{}, panickingReads{})
	turn.pending.add(&model.Task{TaskSpec: model.TaskSpec{ID: "a"}})
	turn.fillAll(t.Context(), nil, []engine.Answer{{}}, &engine.Plan{Assign: []engine.Assign{{Worker: "w1", Task: "b", Attempt: 1}}})
	if len(turn.pending.rows) != 0 {
		t.Errorf("%d rows are kept", len(turn.pending.rows))
	}
}
