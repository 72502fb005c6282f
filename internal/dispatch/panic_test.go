package dispatch

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"log/slog"
	"runtime"
	"strings"
	"testing"

	"github.com/aria-cluster/dispatcher/internal/engine"
	"github.com/aria-cluster/dispatcher/pkg/model"
	"github.com/aria-cluster/dispatcher/pkg/repo/memory"
)

// poison is an event on which the engine panics half way: it takes over a task, and
// then a change that has none.
func poison() engine.Event {
	ghost := &model.Task{
		TaskSpec: model.TaskSpec{ID: "ghost", URL: "https://files.example/ghost", Priority: model.PriorityNormal}, Client: "shop",
		TaskState: model.TaskState{Status: model.StatusPending},
	}
	return engine.Import{Batch: &model.Batch{Tasks: []model.TaskChange{{ID: "ghost", Put: ghost}, {ID: "hollow"}}}}
}

// TestTurn_PanicCostsOneEventOnly: an event that panics is answered 500 in whatever
// place of a batch or of a bulk message it stands; the others are done, and the
// engine agrees with the store afterwards.
func TestTurn_PanicCostsOneEventOnly(t *testing.T) {
	store := newStore()
	f := start(t, store)
	f.do(heartbeat(1), submit("a"))
	store.gate = make(chan struct{})
	f.send(submit("first"))
	for !taken(f) {
		runtime.Gosched()
	}
	good, bad, other := f.send(submit("good")), f.send(poison()), f.send(submit("other"))
	bulk := f.send(submit("b1"), poison(), submit("b2"), poison())
	beat := f.send(heartbeat(1))
	close(store.gate)
	for name, answers := range map[string]chan []engine.Answer{"good": good, "other": other} {
		if a := f.wait(answers)[0]; a.Err != nil || a.Task.ID != name {
			t.Errorf("%s: %+v", name, a)
		}
	}
	if a := f.wait(bad)[0]; a.Err == nil || a.Err.Code != model.CodeInternal {
		t.Errorf("the one that panicked: %+v, want 500", a)
	}
	if a := f.wait(beat)[0]; a.Err != nil {
		t.Errorf("the heartbeat beside it: %v", a.Err)
	}
	for i, a := range f.wait(bulk) {
		if i%2 == 0 && (a.Err != nil || a.Task == nil) || i%2 == 1 && (a.Err == nil || a.Err.Code != model.CodeInternal) {
			t.Errorf("of the bulk message, %d: %+v", i, a)
		}
	}
	status, err := f.Status(t.Context())
	if err != nil || status.TotalTasks != 6 {
		t.Errorf("status %+v, %v, want 6 tasks", status, err)
	}
	if !f.Ready() {
		t.Error("it does not say that it is ready")
	}
}

// TestTurn_PoisonBatchIsBounded: a message full of events that panic is answered,
// and does not reload the engine for each of them.
func TestTurn_PoisonBatchIsBounded(t *testing.T) {
	store := newStore()
	f := start(t, store)
	f.do(submit("a"))
	ops := make([]engine.Event, 500)
	for i := range ops {
		ops[i] = poison()
	}
	before := store.loads.Load()
	internal, unavailable := 0, 0
	for _, a := range f.do(ops...) {
		switch {
		case a.Err != nil && a.Err.Code == model.CodeInternal:
			internal++
		case a.Err != nil && a.Err.Code == model.CodeUnavailable:
			unavailable++
		}
	}
	if n := int(store.loads.Load() - before); n > maxPanics || internal+unavailable != len(ops) || internal == 0 {
		t.Errorf("%d loads, %d answers of 500, %d of 503", n, internal, unavailable)
	}
	f.untilDone(submit("b"))
}

// TestQuery_PanicKeepsTheEngine: a query that panics is answered 500, also while
// writes are refused, and costs no reload.
func TestQuery_PanicKeepsTheEngine(t *testing.T) {
	store := newStore()
	f := start(t, store)
	f.do(heartbeat(1), submit("a"))
	before := store.loads.Load()
	for _, frozen := range []bool{false, true} {
		if frozen {
			if _, err := f.Freeze(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := f.Workers(t.Context(), &model.WorkerQuery{}); model.CodeOf(err) != model.CodeInternal {
			t.Errorf("frozen %v: %v, want 500", frozen, err)
		}
	}
	if n := store.loads.Load() - before; n > 0 {
		t.Errorf("the live tasks were read %d times", n)
	}
	if _, err := f.Status(t.Context()); err != nil {
		t.Errorf("the next query: %v", err)
	}
}

// badStore yields, beside what it holds, a live row on which the engine panics; or
// panics itself.
type badStore struct {
	*memory.Store
	rows    int  // of them
	commits bool // Commit panics
	expires bool // Expired panics
}

func (s *badStore) Live(ctx context.Context) iter.Seq2[*model.Task, error] {
	return func(yield func(*model.Task, error) bool) {
		for i := range s.rows {
			row := &model.Task{TaskSpec: model.TaskSpec{ID: fmt.Sprint("bad", i), URL: "https://files.example/bad"}, Client: "shop", Seq: int64(1000 + i)}
			row.Status = "molten" // no status
			if !yield(row, nil) {
				return
			}
		}
		for task, err := range s.Store.Live(ctx) {
			if !yield(task, err) {
				return
			}
		}
	}
}

func (s *badStore) Commit(ctx context.Context, b *model.Batch) error {
	if s.commits {
		panic("the commit")
	}
	return s.Store.Commit(ctx, b)
}

func (s *badStore) Expired(ctx context.Context, before map[model.Status]model.Time, after int64, limit int) ([]model.TaskChange, int64, error) {
	if s.expires {
		panic("the sweep")
	}
	return s.Store.Expired(ctx, before, after, limit)
}

// TestLoad_BadRowIsSetAside: a stored task on which the engine panics keeps nobody
// from being loaded; it is shown with its reason. Too many of them are no longer a
// matter of rows.
func TestLoad_BadRowIsSetAside(t *testing.T) {
	store := &badStore{Store: memory.New(), rows: 2}
	h := newByHandWith(t, Retention{}, store, store.Store)
	if a := h.do(submit("good"))[0]; a.Err != nil {
		t.Fatalf("beside bad rows: %v", a.Err)
	}
	a := h.do(engine.QueryTasks{IDs: []string{"bad0", "bad1", "good"}})[0]
	if a.Live["bad0"].Reason == "" || a.Live["bad1"].Reason == "" || a.Live["good"].Status != model.StatusPending {
		t.Errorf("live: %+v", a.Live)
	}
	many := &badStore{Store: memory.New(), rows: maxUnloadable + 1}
	h = newByHandWith(t, Retention{}, many, many.Store)
	if a := h.do(submit("good"))[0]; a.Err == nil || a.Err.Code != model.CodeUnavailable {
		t.Errorf("with too many bad rows: %+v, want 503", a)
	}
}

// TestTurn_PanicOutsideTheEngineIsAnswered: a panic of the store, of the sweep, of
// an outbox or of a receiver of answers ends neither the process nor what comes
// after it.
func TestTurn_PanicOutsideTheEngineIsAnswered(t *testing.T) {
	store := &badStore{Store: memory.New(), expires: true}
	h := newByHandWith(t, Retention{Canceled: model.Seconds(10)}, store, store.Store)
	if a := h.do(submit("a"))[0]; a.Err != nil {
		t.Errorf("beside a sweep that panics: %v", a.Err)
	}
	store.commits = true
	if a := h.do(submit("b"))[0]; a.Err == nil || a.Err.Code != model.CodeInternal {
		t.Errorf("a commit that panics: %+v, want 500", a)
	}
	store.commits = false
	h.now += 10_000
	if err := h.Do([]engine.Event{submit("c")}, func([]engine.Answer) { panic("the receiver") }); err != nil {
		t.Fatal(err)
	}
	for h.Step(t.Context()) {
	}
	h.loop.cfg.Outbox = nil // every message panics
	if a := h.do(submit("d"))[0]; a.Err != nil || h.total() != 3 {
		t.Errorf("with an outbox that panics: %+v, %d tasks", a, h.total())
	}
}

// TestLog_PanicIsLoggedBounded: the log has the event and the stack, and
// no more than one stack a second.
func TestLog_PanicIsLoggedBounded(t *testing.T) {
	h := newByHand(t, Retention{})
	var log bytes.Buffer
	h.loop.cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
	h.do(submit("a"))
	for range 50 {
		h.do(poison())
	}
	text := log.String()
	if n := strings.Count(text, "stack="); n != 1 || len(text) > maxPanicStack+2000 ||
		!strings.Contains(text, "engine.Import") || !strings.Contains(text, "error=") {
		t.Errorf("%d stacks, %d bytes: %s", n, len(text), text)
	}
	h.now += 2000
	h.do(poison())
	if text = log.String(); !strings.Contains(text, "times=50") {
		t.Error("it does not say how many there were")
	}
}
