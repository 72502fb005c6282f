package dispatch

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"

	"github.com/aria-cluster/dispatcher/internal/engine"
	"github.com/aria-cluster/dispatcher/pkg/model"
	"github.com/aria-cluster/dispatcher/pkg/repo/memory"
)

// byHand is a dispatcher over a memory store whose time is the test's.
type byHand struct {
	*Stepper
	t     *testing.T
	store *memory.Store
	now   model.Time
}

func newByHand(t *testing.T, keep Retention) *byHand {
	store := memory.New()
	return newByHandWith(t, keep, store, store)
}

// newByHandWith is for a store round the memory store, with faults.
func newByHandWith(t *testing.T, keep Retention, round ReadStore, store *memory.Store) *byHand {
	h := &byHand{t: t, store: store, now: 1_000_000}
	h.Stepper = NewStepper(Config{
		Engine: engine.Config{
			MaxAttempts: 4, MaxLosses: 5, RetryBase: model.Seconds(5), RetryDelay: model.Seconds(300),
			HeartbeatInterval: model.Seconds(30), HeartbeatTimeout: model.Seconds(90),
			MaxPending: 100_000, RequirementSets: 100, RetainIDs: model.Seconds(60),
		},
		Retention: keep, Store: round, Outbox: &sent{}, Connected: func() bool { return true },
		Logger: slog.New(slog.DiscardHandler),
	}, func() engine.Clock { return engine.Clock{Wall: h.now, Steady: h.now} })
	h.Load(t.Context())
	return h
}

func (h *byHand) do(ops ...engine.Event) (answers []engine.Answer) {
	h.t.Helper()
	if err := h.Do(ops, func(a []engine.Answer) { answers = a }); err != nil {
		h.t.Fatal(err)
	}
	for h.Step(h.t.Context()) {
	}
	return answers
}

// pass lets seconds go by, with a step in each.
func (h *byHand) pass(seconds int) {
	for range seconds {
		h.now += 1000
		for h.Step(h.t.Context()) {
		}
	}
}

func (h *byHand) total() int64 {
	h.t.Helper()
	counts, err := h.store.Counts(h.t.Context())
	if err != nil {
		h.t.Fatal(err)
	}
	return counts.Total()
}

func canceled(h *byHand, n int) {
	for i := range n {
		id := fmt.Sprint("t", i)
		h.do(submit(id), engine.Cancel{Client: "shop", ID: id})
	}
}

// What has ended is deleted when its time is over.
func TestRetention_DeletesExpiredTasks(t *testing.T) {
	h := newByHand(t, Retention{Canceled: model.Seconds(10)})
	canceled(h, 3)
	h.do(submit("lives"))
	h.pass(9)
	if n := h.total(); n != 4 {
		t.Fatalf("%d tasks before the time is over", n)
	}
	h.pass(8) // it is looked after every half of the time
	if n := h.total(); n != 1 {
		t.Fatalf("%d tasks after it", n)
	}
	if a := h.do(submit("t0"))[0]; a.Err == nil || a.Err.Code != model.CodeConflict {
		t.Fatalf("its id is free at once: %+v", a)
	}
	h.pass(60)
	if a := h.do(submit("t0"))[0]; a.Err != nil {
		t.Fatalf("its id stays taken: %v", a.Err)
	}
}

// A long backlog of old tasks is deleted in steps.
func TestRetention_LongBacklogIsDeletedInSteps(t *testing.T) {
	h := newByHand(t, Retention{Canceled: model.Seconds(10)})
	const many = 3*sweepLimit + 5
	canceled(h, many)
	h.pass(16)
	left := h.total()
	if left != many-2*sweepLimit {
		t.Fatalf("%d of %d tasks are left after the first steps", left, many)
	}
	h.pass(20)
	if n := h.total(); n != 0 {
		t.Fatalf("%d tasks are left", n)
	}
}

// deafStore cannot look up what has expired while it is deaf.
type deafStore struct {
	*memory.Store
	deaf  bool
	after []int64 // asked for
}

func (s *deafStore) Expired(ctx context.Context, before map[model.Status]model.Time, after int64, limit int) ([]model.TaskChange, int64, error) {
	s.after = append(s.after, after)
	if s.deaf {
		return nil, 0, errors.New("it is deaf")
	}
	return s.Store.Expired(ctx, before, after, limit)
}

// kept puts rows into the store that have ended long ago, or are kept without limit.
func kept(t *testing.T, store *memory.Store, first, n int64, status model.Status) {
	t.Helper()
	b := &model.Batch{}
	for seq := first; seq < first+n; seq++ {
		row := &model.Task{
			TaskSpec: model.TaskSpec{ID: fmt.Sprint("row", seq)}, Client: "shop", Seq: seq,
			TaskState: model.TaskState{Status: status, FinishedAt: 1},
		}
		b.Tasks = append(b.Tasks, model.TaskChange{ID: row.ID, Put: row})
	}
	if err := store.Commit(t.Context(), b); err != nil {
		t.Fatal(err)
	}
}

// TestRetention_ContinuesPastKeptTasks has more rows before the old one than a step
// looks at, and a store that cannot be read for a while.
func TestRetention_ContinuesPastKeptTasks(t *testing.T) {
	const many = 40_001
	store := &deafStore{Store: memory.New()}
	kept(t, store.Store, 1, many, model.StatusCompleted)
	kept(t, store.Store, many+1, 1, model.StatusCanceled)
	h := newByHandWith(t, Retention{Canceled: model.Seconds(10)}, store, store.Store)
	h.pass(1)
	store.deaf = true
	h.pass(5)
	if n := h.total(); n != many+1 || len(store.after) != 6 || store.after[5] != store.after[1] || store.after[5] == 0 {
		t.Fatalf("%d tasks; it was asked for what comes after %v", n, store.after)
	}
	store.deaf = false
	h.pass(3)
	if n := h.total(); n != many {
		t.Fatalf("%d tasks are left of %d", n, many+1)
	}
}

// Without retention nothing is deleted.
func TestRetention_ZeroDeletesNothing(t *testing.T) {
	h := newByHand(t, Retention{})
	canceled(h, 3)
	h.pass(4000)
	if n := h.total(); n != 3 {
		t.Fatalf("%d tasks are left", n)
	}
}

// Tombstones are forgotten also when only clients delete. With a short retention.ids each lasts a
// quarter of an hour, because workers remember attempts.
func TestTombstones_ExpireWithoutRetention(t *testing.T) {
	h := newByHand(t, Retention{})
	canceled(h, 1)
	h.do(engine.Delete{Client: "shop", ID: "t0"})
	tombstones := func() int {
		found, err := h.store.Tombstones(t.Context(), []string{"t0"})
		if err != nil {
			t.Fatal(err)
		}
		return len(found)
	}
	if tombstones() != 1 {
		t.Fatal("the deleted task has left nothing")
	}
	h.pass(1600) // a quarter of an hour, and the ten minutes to the next time they are looked for
	if tombstones() != 0 {
		t.Fatal("its tombstone is never removed")
	}
}
