package dispatch

import (
	"context"
	"fmt"
	"iter"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aria-cluster/dispatcher/internal/engine"
	"github.com/aria-cluster/dispatcher/pkg/model"
	"github.com/aria-cluster/dispatcher/pkg/repo/memory"
)

// gateStore is the memory store with a gate before each commit, and faults.
type gateStore struct {
	*memory.Store
	gate chan struct{} // nil: open

	loads atomic.Int32 // times that the live tasks were read
	reads atomic.Int32 // tasks that were asked for by their ids

	mu      sync.Mutex
	commits []int  // tasks written by each
	before  error  // returned once instead of committing
	always  error  // returned instead of committing
	after   error  // returned once although it was committed
	refuse  string // the id of a task that no batch may hold

	readError func() error // nil: tasks can be read by their ids
}

func (s *gateStore) Live(ctx context.Context) iter.Seq2[*model.Task, error] {
	s.loads.Add(1)
	return s.Store.Live(ctx)
}

func (s *gateStore) Tasks(ctx context.Context, ids []string) (map[string]*model.Task, error) {
	s.reads.Add(int32(len(ids)))
	if s.readError != nil {
		if err := s.readError(); err != nil {
			return nil, err
		}
	}
	return s.Store.Tasks(ctx, ids)
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
	if s.always != nil {
		return s.always
	}
	for i := range b.Tasks {
		if b.Tasks[i].ID == s.refuse {
			return model.Errorf(model.CodeInternal, "task %s: the row says otherwise", s.refuse)
		}
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
	mu       sync.Mutex
	words    []string
	withTerm bool // the commands are said with their term
}

// in is the end of the words of a command.
func (s *sent) in(term int64) string {
	if !s.withTerm {
		return ""
	}
	return fmt.Sprintf(" in %d", term)
}

func (s *sent) say(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.words = append(s.words, fmt.Sprintf(format, args...))
}

func (s *sent) Assign(worker string, term int64, list []model.Assignment) {
	for _, a := range list {
		s.say("assign %s#%d %s to %s%s", a.Task.ID, a.Attempt, a.Task.URL, worker, s.in(term))
	}
}

func (s *sent) Drop(worker string, term int64, list []model.Drop) {
	for _, d := range list {
		s.say("drop %s#%d from %s%s", d.ID, d.Attempt, worker, s.in(term))
	}
}

func (s *sent) RequestHeartbeat(worker string, term int64) {
	s.say("nudge %s%s", worker, s.in(term))
}

func (s *sent) TaskEvent(ev *model.TaskEvent) { s.say("%s is %s", ev.ID, ev.Status) }

func (s *sent) Progress(ev *model.ProgressEvent) { s.say("%s at %v%%", ev.ID, ev.Progress) }

func (s *sent) WorkerEvent(ev *model.WorkerEvent) { s.say("worker %s is %s", ev.ID, ev.Status) }

type fixture struct {
	*Dispatcher
	t     *testing.T
	store *gateStore
	sent  *sent
}

func start(t *testing.T, store *gateStore) *fixture {
	t.Helper()
	f := newFixture(t, store, store)
	f.run()
	return f
}

// newFixture is start without the loop; round is the store, or one round it. nil means the
// store.
func newFixture(t *testing.T, store *gateStore, round ReadStore) *fixture {
	f := &fixture{t: t, store: store, sent: &sent{}}
	if round == nil {
		round = store
	}
	f.Dispatcher = New(Config{
		Engine: engine.Config{
			MaxAttempts: 4, MaxLosses: 5, RetryBase: model.Seconds(5), RetryDelay: model.Seconds(300),
			HeartbeatInterval: model.Seconds(30), HeartbeatTimeout: model.Seconds(90),
			MaxPending: 100_000, RequirementSets: 100,
		},
		Store: round, Outbox: f.sent, Connected: func() bool { return true },
		Logger: slog.New(slog.DiscardHandler),
	})
	return f
}

// run runs the loop until the end of the test.
func (f *fixture) run() {
	ctx, cancel := context.WithCancel(f.t.Context())
	ended := make(chan error, 1)
	go func() { ended <- f.Run(ctx) }()
	f.t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			f.t.Errorf("Run: %v", err)
		}
	})
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
func (f *fixture) do(ops ...engine.Event) []engine.Answer {
	f.t.Helper()
	return f.wait(f.send(ops...))
}

func (f *fixture) send(ops ...engine.Event) chan []engine.Answer {
	f.t.Helper()
	answers := make(chan []engine.Answer, 1)
	if err := f.Do(ops, func(a []engine.Answer) { answers <- a }); err != nil {
		f.t.Fatalf("Do: %v", err)
	}
	return answers
}

func (f *fixture) wait(answers chan []engine.Answer) []engine.Answer {
	f.t.Helper()
	select {
	case a := <-answers:
		return a
	case <-time.After(10 * time.Second):
		f.t.Fatal("no answer in 10 s")
		return nil
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

func taken(f *fixture) bool { return !f.inbox.waiting() }

// untilDone repeats an operation while it is answered 503.
func (f *fixture) untilDone(op engine.Event) engine.Answer {
	f.t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for {
		a := f.do(op)[0]
		if a.Err == nil {
			return a
		}
		if a.Err.Code != model.CodeUnavailable || time.Now().After(deadline) {
			f.t.Fatalf("%T: %v", op, a.Err)
		}
		runtime.Gosched()
	}
}
