package dispatch

import (
	"context"
	"errors"
	"iter"
	"strings"
	"testing"

	"github.com/aria-cluster/dispatcher/internal/engine"
	"github.com/aria-cluster/dispatcher/pkg/model"
	"github.com/aria-cluster/dispatcher/pkg/repo/memory"
)

// lateStore completes a commit of unknown outcome when it is asked for what a start needs.
type lateStore struct {
	*gateStore
	fails bool
	late  *model.Batch
}

func (s *lateStore) Commit(ctx context.Context, b *model.Batch) error {
	if s.fails {
		s.fails, s.late = false, b
		return errors.New("the connection broke")
	}
	return s.gateStore.Commit(ctx, b)
}

// LastSeq implements [repo.Loader].
func (s *lateStore) LastSeq(ctx context.Context) (int64, error) {
	if b := s.late; b != nil {
		s.late = nil
		if err := s.gateStore.Commit(ctx, b); err != nil {
			return 0, err
		}
	}
	return s.gateStore.LastSeq(ctx)
}

// A commit that is completed late, while the engine is loaded again, is in the counts.
func TestLoad_CountsALateCommit(t *testing.T) {
	store := &lateStore{gateStore: newStore()}
	f := newFixture(t, store.gateStore, store)
	s := &Stepper{&loop{Dispatcher: f.Dispatcher}}
	s.Load(t.Context())
	store.fails = true
	sent := f.send(submit("a"))
	for s.Step(t.Context()) {
	}
	f.wait(sent)
	answers, ok := s.Query(engine.QueryStatus{})
	if !ok || answers[0].Status.TotalTasks != 1 {
		t.Errorf("the status is %+v", answers)
	}
}

// TestLoad_DamagedRowIsSetAside: a stored task that cannot be read as a whole, or that the
// engine cannot count on from, keeps no other from being loaded. It is shown with what is
// wrong, is not changed as if it were whole, and can be canceled.
func TestLoad_DamagedRowIsSetAside(t *testing.T) {
	store := memory.New()
	row := func(id string, seq int64, state model.TaskState, damage string) model.TaskChange {
		return model.TaskChange{ID: id, Put: &model.Task{
			TaskSpec: model.TaskSpec{ID: id, URL: "http://h/" + id, Priority: model.PriorityNormal, MaxAttempts: 4},
			Client:   "c", Seq: seq, TaskState: state, Damage: damage,
		}}
	}
	pending := model.TaskState{Status: model.StatusPending}
	b := &model.Batch{Tasks: []model.TaskChange{
		row("tags", 1, pending, "its tags: bad"),
		row("ended", 2, model.TaskState{Status: model.StatusFailed}, "its options: bad"),
		row("attempt", 3, model.TaskState{Status: model.StatusPending, Attempt: model.MaxAttemptNumber + 1}, ""),
		row("worker", 4, model.TaskState{Status: model.StatusDownloading, Attempt: 1}, ""),
		row("whole", 5, pending, ""),
	}}
	if err := store.Commit(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	h := newByHandWith(t, Retention{}, store, store)
	if a := h.do(submit("good"))[0]; a.Err != nil {
		t.Fatalf("beside damaged rows: %v", a.Err)
	}
	live := h.do(engine.QueryTasks{IDs: []string{"tags", "attempt", "worker", "whole"}})[0].Live
	for id, want := range map[string]string{"tags": "its tags: bad", "attempt": "its attempt is not valid", "worker": "its worker_id is not valid"} {
		if reason := live[id].Reason; reason != "cannot be read from the store: "+want {
			t.Errorf("the reason of %s is %q", id, reason)
		}
	}
	if reason := live["whole"].Reason; strings.Contains(reason, "store") {
		t.Errorf("the reason of a whole task is %q", reason)
	}
	url := "http://h/new"
	for name, ev := range map[string]engine.Event{
		"update":             engine.Update{Client: "c", ID: "tags", Change: &model.TaskUpdate{URL: &url}},
		"update of an ended": engine.Update{Client: "c", ID: "ended", Change: &model.TaskUpdate{URL: &url}},
		"retry":              engine.Retry{Client: "c", ID: "ended"},
	} {
		if a := h.do(ev)[0]; a.Err == nil || a.Err.Code != model.CodeConflict || !strings.Contains(a.Err.Message, "cannot be read") {
			t.Errorf("%s: %v, want 409", name, a.Err)
		}
	}
	for _, id := range []string{"tags", "attempt", "worker"} {
		if a := h.do(engine.Cancel{Client: "c", ID: id})[0]; a.Err != nil || a.Task.Status != model.StatusCanceled {
			t.Errorf("cancel of %s: %v", id, a.Err)
		}
	}
	if a := h.do(engine.Delete{Client: "c", ID: "ended"})[0]; a.Err != nil {
		t.Errorf("delete: %v", a.Err)
	}
}

// partStore is a store whose Live does not read the columns with the damage.
type partStore struct{ *memory.Store }

func (s partStore) Live(ctx context.Context) iter.Seq2[*model.Task, error] {
	return func(yield func(*model.Task, error) bool) {
		for row, err := range s.Store.Live(ctx) {
			if err == nil {
				c := *row
				row, c.Damage = &c, ""
			}
			if !yield(row, err) {
				return
			}
		}
	}
}

// TestTurn_DamageFoundByAssignmentSetsTaskAside: damage of a column that only an assignment
// reads keeps no slot of a worker busy with a task that the worker is never told of.
func TestTurn_DamageFoundByAssignmentSetsTaskAside(t *testing.T) {
	store := memory.New()
	b := &model.Batch{}
	for seq, damage := range []string{"its options: bad", ""} {
		id := []string{"damaged", "whole"}[seq]
		b.Tasks = append(b.Tasks, model.TaskChange{ID: id, Put: &model.Task{
			TaskSpec: model.TaskSpec{ID: id, URL: "http://h/a", Priority: model.PriorityNormal, MaxAttempts: 4},
			Client:   "c", Seq: int64(seq + 1), TaskState: model.TaskState{Status: model.StatusPending}, Damage: damage,
		}})
	}
	if err := store.Commit(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	h := newByHandWith(t, Retention{}, partStore{store}, store)
	assigned := ""
	for seq := range int64(3) {
		beat := &model.Heartbeat{WorkerID: "w", Instance: "i", Epoch: 1, Seq: seq + 1, State: model.StateReady, TotalSlots: 1, HealthMetrics: model.HealthMetrics{DiskFree: 1 << 40}}
		for _, a := range h.do(engine.Heartbeat{Heartbeat: beat})[0].Heartbeat.Assign {
			assigned += " " + a.Task.ID
		}
		h.pass(1)
	}
	if assigned != " whole whole" { // unlisted, it comes again
		t.Errorf("the worker is told of%s", assigned)
	}
	if live := h.do(engine.QueryTasks{IDs: []string{"damaged"}})[0].Live; live["damaged"].Reason != "cannot be read from the store: its options: bad" {
		t.Errorf("it is shown as %+v", live["damaged"])
	}
	h.pass(600)
	rows, err := store.Tasks(t.Context(), []string{"damaged"})
	if row := rows["damaged"]; err != nil || row.Attempt != 1 || row.Damage == "" || len(row.History) != 0 {
		t.Errorf("its row is %+v, %v", row, err)
	}
	if a := h.do(engine.Cancel{Client: "c", ID: "damaged"})[0]; a.Err != nil || a.Task.Status != model.StatusCanceled {
		t.Errorf("cancel: %v", a.Err)
	}
}
