package dispatch

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/aria-cluster/dispatcher/pkg/engine"
	"github.com/aria-cluster/dispatcher/pkg/model"
	"github.com/aria-cluster/dispatcher/pkg/repo/memory"
)

// gateStore is the memory store with a gate before each commit, and faults.
type gateStore struct {
	*memory.Store
	gate chan struct{} // nil: open

	mu      sync.Mutex
	commits []int // tasks written by each
	before  error // returned instead of committing
	after   error // returned although it was committed
}

func (s *gateStore) Commit(ctx context.Context, b *model.Batch) error {
	if s.gate != nil {
		<-s.gate
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.before; err != nil {
		s.before = nil
		return err
	}
	s.commits = append(s.commits, len(b.Tasks))
	if err := s.Store.Commit(ctx, b); err != nil {
		return err
	}
	err := s.after
	s.after = nil
	return err
}

// sent is what left, in order.
type sent struct {
	mu    sync.Mutex
	words []string
}

func (s *sent) say(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.words = append(s.words, fmt.Sprintf(format, args...))
}

func (s *sent) Assign(worker string, list []model.Assignment) {
	for _, a := range list {
		s.say("assign %s#%d %s to %s", a.Task.ID, a.Attempt, a.Task.URL, worker)
	}
}

func (s *sent) Drop(worker string, list []model.Drop) {
	for _, d := range list {
		s.say("drop %s#%d from %s", d.ID, d.Attempt, worker)
	}
}
func (s *sent) TaskEvent(ev *model.TaskEvent)     { s.say("%s is %s", ev.ID, ev.Status) }
func (s *sent) Progress(ev *model.ProgressEvent)  { s.say("%s at %v%%", ev.ID, ev.Progress) }
func (s *sent) WorkerEvent(ev *model.WorkerEvent) { s.say("worker %s is %s", ev.ID, ev.Status) }

type fixture struct {
	*Dispatcher
	t     *testing.T
	store *gateStore
	sent  *sent
}

func start(t *testing.T, store *gateStore) *fixture {
	t.Helper()
	f := &fixture{t: t, store: store, sent: &sent{}}
	f.Dispatcher = New(Config{
		Engine: engine.Config{
			MaxAttempts: 4, MaxLosses: 5, RetryBase: model.Seconds(5), RetryDelay: model.Seconds(300),
			HeartbeatInterval: model.Seconds(30), HeartbeatTimeout: model.Seconds(90),
			MaxPending: 100_000, RequirementSets: 100,
		},
		Store: store, Outbox: f.sent, Connected: func() bool { return true },
		Logger: slog.New(slog.DiscardHandler),
	})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- f.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return f
}

func newStore() *gateStore { return &gateStore{Store: memory.New()} }

func submit(id string) engine.Event {
	s := &model.TaskSpec{ID: id, URL: "https://files.example/" + id}
	return engine.Submit{Client: "shop", Spec: s, Hash: s.Hash(), Chosen: true}
}

func heartbeat(slots int, tasks ...model.Report) engine.Event {
	return engine.Heartbeat{Heartbeat: &model.Heartbeat{
		WorkerID: "w1", Instance: "i", Epoch: 1, State: model.StateReady, TotalSlots: slots, Tasks: tasks,
	}}
}

// do sends operations and waits for their answers.
func (f *fixture) do(ops ...engine.Event) []model.Answer {
	f.t.Helper()
	return f.wait(f.send(ops...))
}

func (f *fixture) send(ops ...engine.Event) chan []model.Answer {
	f.t.Helper()
	answers := make(chan []model.Answer, 1)
	if err := f.Do(ops, func(a []model.Answer) { answers <- a }); err != nil {
		f.t.Fatalf("Do: %v", err)
	}
	return answers
}

func (f *fixture) wait(answers chan []model.Answer) []model.Answer {
	f.t.Helper()
	select {
	case a := <-answers:
		return a
	case <-time.After(10 * time.Second):
		f.t.Fatal("no answer in 10 s")
		return nil
	}
}

func TestAnswersAndCommandsLeaveOnlyAfterTheCommit(t *testing.T) {
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

func (s *sent) has(word string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, w := range s.words {
		if w == word {
			return true
		}
	}
	return false
}

func TestWhatComesDuringACommitIsCommittedTogether(t *testing.T) {
	store := newStore()
	store.gate = make(chan struct{})
	f := start(t, store)
	var waits []chan []model.Answer
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

func taken(f *fixture) bool { return !f.inbox.waiting() }

func TestABulkSubmitMaySpanTurnsAndIsAnsweredOnce(t *testing.T) {
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

func TestAFullInboxRefusesAtOnce(t *testing.T) {
	store := newStore()
	store.gate = make(chan struct{})
	f := start(t, store)
	var waits []chan []model.Answer
	for n := 0; ; n++ {
		answers := make(chan []model.Answer, 1)
		err := f.Do([]engine.Event{submit(fmt.Sprint("t", n))}, func(a []model.Answer) { answers <- a })
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

func TestAFailedCommitIsAnswered503AndTheEngineReloads(t *testing.T) {
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
			// The requester tries again, as it was told: there is one task.
			if a := f.do(submit(id))[0]; a.Err != nil || a.Task.ID != id {
				t.Fatalf("again: %+v", a)
			}
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

func TestGetLaysLiveProgressAndReasonsOverTheRow(t *testing.T) {
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

func TestAHeartbeatBringsTheAssignmentWithItsPayload(t *testing.T) {
	f := start(t, newStore())
	f.do(heartbeat(1), submit("a"))
	a := f.do(heartbeat(1))[0]
	if a.Heartbeat == nil || len(a.Heartbeat.Assign) != 1 || a.Heartbeat.Assign[0].Task.URL != "https://files.example/a" {
		t.Fatalf("answer %+v, want the assignment again", a.Heartbeat)
	}
}

func TestAfterTheStopCallsAreRefusedAndThoseTakenInAreAnswered(t *testing.T) {
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
	answers := make(chan []model.Answer, 2)
	for _, id := range []string{"a", "b"} {
		if err := d.Do([]engine.Event{submit(id)}, func(a []model.Answer) { answers <- a }); err != nil {
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
	if err := d.Do([]engine.Event{submit("c")}, func([]model.Answer) {}); err == nil || err.Code != model.CodeUnavailable {
		t.Fatalf("after the stop: %v", err)
	}
}
