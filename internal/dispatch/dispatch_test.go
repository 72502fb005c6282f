package dispatch

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aria-cluster/dispatcher/internal/engine"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// Answers and commands leave only after the commit.
func TestTurn_AnswersLeaveAfterCommit(t *testing.T) {
	store := newStore()
	store.gate = make(chan struct{}, 10)
	f := start(t, store)
	store.gate <- struct{}{}
	f.do(heartbeat(1))
	held := f.send(submit("a"))
	reads, err := store.Tasks(t.Context(), []string{"a"})
	if err != nil || len(reads) != 0 || len(held) != 0 {
		t.Fatalf("before the commit: read %v, %v, %d answers", reads, err, len(held))
	}
	if f.sent.has("assign a#1 https://files.example/a to w1") {
		t.Fatal("the assignment left before the commit")
	}
	store.gate <- struct{}{}
	a := f.wait(held)[0]
	if a.Err != nil || a.Task.Status != model.StatusQueued || a.Task.WorkerID != "w1" {
		t.Fatalf("answer %+v: want the task, placed in the same turn", a)
	}
	close(store.gate)
	f.do(engine.Tick{}) // a turn later everything of the one before has left
	for _, want := range []string{"a is pending", "a is queued", "assign a#1 https://files.example/a to w1"} {
		if !f.sent.has(want) {
			t.Errorf("%q was not sent: %q", want, f.sent.words)
		}
	}
}

// What comes during a commit is committed together.
func TestTurn_EventsDuringCommitShareNextOne(t *testing.T) {
	store := newStore()
	store.gate = make(chan struct{})
	f := start(t, store)
	var waits []chan []engine.Answer
	waits = append(waits, f.send(submit("first")))
	for !taken(f) {
		runtime.Gosched()
	}
	for i := range 500 {
		waits = append(waits, f.send(submit(fmt.Sprint("t", i))))
	}
	close(store.gate)
	for _, w := range waits {
		if a := f.wait(w)[0]; a.Err != nil {
			t.Fatal(a.Err)
		}
	}
	store.mu.Lock()
	defer store.mu.Unlock()
	if len(store.commits) != 2 || store.commits[1] != 500 {
		t.Errorf("commits of %v tasks, want 1 and 500", store.commits)
	}
}

// A bulk submit may span turns and is answered once.
func TestDo_BulkSpanningTurnsIsAnsweredOnce(t *testing.T) {
	f := start(t, newStore())
	ops := make([]engine.Event, 3*maxBatch)
	for i := range ops {
		ops[i] = submit(fmt.Sprint("t", i))
	}
	for i, a := range f.do(ops...) {
		if a.Err != nil || a.Task == nil || a.Task.ID != fmt.Sprint("t", i) {
			t.Fatalf("answer %d is %+v", i, a)
		}
	}
	status, err := f.Status(t.Context())
	if err != nil || status.TotalTasks != int64(len(ops)) {
		t.Errorf("status %+v, %v", status, err)
	}
}

// A full inbox refuses at once.
func TestDo_FullInboxRefusesAtOnce(t *testing.T) {
	store := newStore()
	store.gate = make(chan struct{})
	f := start(t, store)
	var waits []chan []engine.Answer
	for n := 0; ; n++ {
		answers := make(chan []engine.Answer, 1)
		err := f.Do([]engine.Event{submit(fmt.Sprint("t", n))}, func(a []engine.Answer) { answers <- a })
		if err != nil {
			if err.Code != model.CodeUnavailable || n < inboxLimit || n > inboxLimit+maxBatch {
				t.Fatalf("after %d: %v", n, err)
			}
			break
		}
		waits = append(waits, answers)
	}
	close(store.gate)
	for _, w := range waits {
		if a := f.wait(w)[0]; a.Err != nil {
			t.Fatal(a.Err)
		}
	}
}

// A failed commit is answered 503 and the engine reloads.
func TestTurn_FailedCommitAnswers503AndReloads(t *testing.T) {
	store := newStore()
	f := start(t, store)
	f.do(heartbeat(1), submit("before"))
	for _, c := range []struct {
		name        string
		fail        func()
		nowPossible bool // it was committed all the same
	}{
		{"nothing was written", func() { store.before = errors.New("disk on fire") }, false},
		{"all was written", func() { store.after = errors.New("connection lost") }, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			id := fmt.Sprint("t", c.nowPossible)
			store.mu.Lock()
			c.fail()
			store.mu.Unlock()
			if a := f.do(submit(id))[0]; a.Err == nil || a.Err.Code != model.CodeUnavailable || a.Task != nil {
				t.Fatalf("answer %+v, want 503", a)
			}
			rows, err := store.Tasks(t.Context(), []string{id})
			if err != nil || (rows[id] != nil) != c.nowPossible {
				t.Fatalf("store has %v, %v", rows, err)
			}
			// The requester retries, as the answer says: one task exists.
			f.untilDone(submit(id))
			status, err := f.Status(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			counts, err := store.Counts(t.Context())
			if err != nil || status.TotalTasks != counts.Total() {
				t.Fatalf("engine counts %v, store %v, %v", status.TasksByStatus, counts, err)
			}
		})
	}
}

// A store that refuses writes is read and recovers by itself.
func TestLoop_ReadOnlyStoreServesReadsAndRecovers(t *testing.T) {
	store := newStore()
	f := start(t, store)
	f.do(heartbeat(1), submit("before"))
	full := model.Errorf(model.CodeUnavailable, "the disk is full")
	store.mu.Lock()
	store.always = full
	store.mu.Unlock()
	for i := range 1000 {
		if a := f.do(submit(fmt.Sprint("t", i)))[0]; a.Err == nil || a.Err.Message != full.Message {
			t.Fatalf("answer %+v, want that the disk is full", a)
		}
	}
	if f.Ready() {
		t.Error("it says that it is ready")
	}
	if n := store.loads.Load(); n > 5 {
		t.Errorf("the live tasks were read %d times for 1,000 refused writes", n)
	}
	if task, err := f.Task(t.Context(), "shop", "before"); err != nil || task.Status != model.StatusQueued {
		t.Errorf("reading meanwhile: %+v, %v", task, err)
	}
	if w, err := f.Worker(t.Context(), "w1"); err != nil || w.UsedSlots != 1 {
		t.Errorf("reading meanwhile: %+v, %v", w, err)
	}
	store.mu.Lock()
	store.always = nil
	store.mu.Unlock()
	f.untilDone(submit("after"))
	if !f.Ready() {
		t.Error("it does not say that it is ready")
	}
}

// A panic of one operation is answered 500 and delays no other.
func TestTurn_RejectedBatchIsDecidedOneByOne(t *testing.T) {
	store := newStore()
	store.gate = make(chan struct{})
	store.refuse = "guilty"
	f := start(t, store)
	first := f.send(submit("first"))
	for !taken(f) {
		runtime.Gosched()
	}
	good, guilty, other := f.send(submit("good")), f.send(submit("guilty")), f.send(submit("other"))
	close(store.gate)
	for name, answers := range map[string]chan []engine.Answer{"first": first, "good": good, "other": other} {
		if a := f.wait(answers)[0]; a.Err != nil || a.Task.ID != name {
			t.Errorf("%s: %+v", name, a)
		}
	}
	if a := f.wait(guilty)[0]; a.Err == nil || a.Err.Code != model.CodeInternal {
		t.Errorf("guilty: %+v, want 500", a)
	}
}

// A flood of submits does not silence workers.
func TestInbox_SubmitFloodLeavesWorkersHeard(t *testing.T) {
	store := newStore()
	store.gate = make(chan struct{})
	f := start(t, store)
	for n := 0; ; n++ {
		if f.Do([]engine.Event{submit(fmt.Sprint("t", n))}, func([]engine.Answer) {}) != nil {
			break
		}
	}
	beat := f.send(heartbeat(1)) // there is room for it, and it is in the next turn but one at the latest
	for range 2 {
		store.gate <- struct{}{}
	}
	if a := f.wait(beat)[0]; a.Err != nil {
		t.Errorf("heartbeat: %v", a.Err)
	}
	close(store.gate)
}

// The inbox is bounded in bytes too.
func TestInbox_LimitCountsBytes(t *testing.T) {
	store := newStore()
	store.gate = make(chan struct{})
	f := start(t, store)
	torrent, taken := make([]byte, 350<<10), 0
	for n := 0; ; n++ {
		s := &model.TaskSpec{ID: fmt.Sprint("t", n), Torrent: torrent}
		if f.Do([]engine.Event{engine.Submit{Client: "shop", Spec: s, Chosen: true}}, func([]engine.Answer) {}) != nil {
			break
		}
		taken += len(torrent)
	}
	if taken > 100<<20 {
		t.Errorf("%d MiB of torrents were taken in", taken>>20)
	}
	close(store.gate)
}

// The stop is bounded.
func TestRun_StopIsBounded(t *testing.T) {
	store := newStore()
	store.gate = make(chan struct{})
	d := New(Config{
		Engine: engine.Config{HeartbeatInterval: 1, HeartbeatTimeout: 1, MaxPending: 100_000, RequirementSets: 10},
		Store:  store, Outbox: &sent{}, Connected: func() bool { return true }, Logger: slog.New(slog.DiscardHandler),
	})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx) }()
	var answered, refused atomic.Int32
	for n := range 10 * maxBatch {
		err := d.Do([]engine.Event{submit(fmt.Sprint("t", n))}, func(a []engine.Answer) {
			answered.Add(1)
			if a[0].Err != nil {
				refused.Add(1)
			}
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	cancel()
	go func() { // a slow disk: ten turns would take ten seconds
		for range time.Tick(time.Second) {
			select {
			case store.gate <- struct{}{}:
			case <-t.Context().Done():
				return
			}
		}
	}()
	select {
	case <-ended:
	case <-time.After(drainTime + 5*time.Second):
		t.Fatal("Run has not returned")
	}
	if answered.Load() != 10*maxBatch || refused.Load() == 0 {
		t.Errorf("%d of %d were answered, %d refused; want all, the last ones refused", answered.Load(), 10*maxBatch, refused.Load())
	}
}

// Get lays live progress and reasons over the row.
func TestTask_OverlaysLiveProgressAndReason(t *testing.T) {
	f := start(t, newStore())
	f.do(heartbeat(1), submit("a"), submit("b"))
	f.do(engine.Report{Worker: "w1", Report: model.Report{ID: "a", Attempt: 1, Status: model.ReportDownloading}})
	f.do(engine.Report{Worker: "w1", Report: model.Report{
		ID: "a", Attempt: 1, Status: model.ReportDownloading, Progress: 40, CompletedLength: 400, TotalLength: 1000,
	}})
	a, err := f.Task(t.Context(), "shop", "a")
	if err != nil || a.Progress != 40 || a.CompletedLength != 400 || a.Status != model.StatusDownloading {
		t.Errorf("a is %+v, %v", a, err)
	}
	page, err := f.Tasks(t.Context(), &model.ListQuery{Order: model.OrderOldest, Limit: 10})
	if err != nil || len(page.Tasks) != 2 || page.Tasks[0].Progress != 40 || page.Tasks[1].Reason != "waits for a free slot" {
		t.Errorf("page %+v, %v", page, err)
	}
	if _, err := f.Task(t.Context(), "bank", "a"); model.CodeOf(err) != model.CodeNotFound {
		t.Errorf("another client's get: %v", err)
	}
	w, err := f.Worker(t.Context(), "w1")
	if err != nil || w.UsedSlots != 1 || len(w.CurrentTasks) != 1 || w.Status != model.WorkerBusy {
		t.Errorf("worker %+v, %v", w, err)
	}
	if _, err := f.Worker(t.Context(), "w2"); model.CodeOf(err) != model.CodeNotFound {
		t.Errorf("unknown worker: %v", err)
	}
}

// After a start workers are asked for a heartbeat.
func TestRun_StartRequestsHeartbeats(t *testing.T) {
	store := newStore()
	f := start(t, store)
	f.do(heartbeat(1))
	again := start(t, store)
	again.do(submit("a"))
	if !again.sent.has("nudge w1") {
		t.Errorf("w1 was not asked: %q", again.sent.words)
	}
}

// A heartbeat brings the assignment with its payload.
func TestHeartbeat_AnswerHasAssignmentPayload(t *testing.T) {
	f := start(t, newStore())
	f.do(heartbeat(1), submit("a"))
	a := f.do(heartbeat(1))[0]
	if a.Heartbeat == nil || len(a.Heartbeat.Assign) != 1 || a.Heartbeat.Assign[0].Task.URL != "https://files.example/a" {
		t.Fatalf("answer %+v, want the assignment again", a.Heartbeat)
	}
}

// After the stop calls are refused and those taken in are answered.
func TestDo_AfterStopIsRefused(t *testing.T) {
	store := newStore()
	store.gate = make(chan struct{})
	d := New(Config{
		Engine: engine.Config{HeartbeatInterval: 1, HeartbeatTimeout: 1, MaxPending: 10, RequirementSets: 10},
		Store:  store, Outbox: &sent{}, Connected: func() bool { return true }, Logger: slog.New(slog.DiscardHandler),
	})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx) }()
	for !d.Ready() {
		runtime.Gosched()
	}
	answers := make(chan []engine.Answer, 2)
	for _, id := range []string{"a", "b"} {
		if err := d.Do([]engine.Event{submit(id)}, func(a []engine.Answer) { answers <- a }); err != nil {
			t.Fatal(err)
		}
	}
	cancel()
	close(store.gate)
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if a := (<-answers)[0]; a.Err != nil {
			t.Fatal(a.Err)
		}
	}
	if err := d.Do([]engine.Event{submit("c")}, func([]engine.Answer) {}); err == nil || err.Code != model.CodeUnavailable {
		t.Fatalf("after the stop: %v", err)
	}
}
