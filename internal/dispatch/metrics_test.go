package dispatch

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/aria-cluster/dispatcher/internal/engine"
	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// counted is what a dispatcher has counted.
type counted struct {
	mu         sync.Mutex
	turns      int
	operations int
	busy       time.Duration
	full       int
	rejected   map[model.Code]int
	facts      map[engine.FactKind]int
}

func (c *counted) Turn(_ time.Duration, operations int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.turns++
	c.operations += operations
}

func (c *counted) Busy(took time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.busy += took
}

func (c *counted) InboxFull() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.full++
}

func (c *counted) Rejected(code model.Code) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.rejected[code]++
}

func (c *counted) Facts(facts []engine.Fact) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, f := range facts {
		c.facts[f.Kind]++
	}
}

func withMetrics(f *fixture) *counted {
	c := &counted{rejected: map[model.Code]int{}, facts: map[engine.FactKind]int{}}
	f.cfg.Metrics = c
	return c
}

// A turn is counted after its commit; a submit that is refused is counted by its code.
func TestMetrics_CountTurnsFactsAndRejections(t *testing.T) {
	store := newStore()
	f := newFixture(t, store, store)
	c := withMetrics(f)
	f.run()
	f.do(submit("t1"))
	other := engine.Submit{Client: "bank", Spec: &model.TaskSpec{ID: "t1", URL: "https://files.example/t1"}, Chosen: true}
	if a := f.do(other)[0]; a.Err == nil || a.Err.Code != model.CodeConflict {
		t.Fatalf("the task of another client: %+v", a)
	}
	if a := f.do(engine.Cancel{Client: "bank", ID: "t1"})[0]; a.Err == nil {
		t.Fatal("another client has canceled the task")
	}
	// A turn is counted when its answers have left.
	testbed.Within(t, time.Minute, "three turns are counted", func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.turns >= 3
	})
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.operations < 3 || c.busy <= 0 || c.facts[engine.FactSubmitted] != 1 {
		t.Errorf("%d turns of %d operations in %v, facts %v", c.turns, c.operations, c.busy, c.facts)
	}
	if len(c.rejected) != 1 || c.rejected[model.CodeConflict] != 1 {
		t.Errorf("rejected %v, want one 409", c.rejected)
	}
}

// Of a commit that failed no fact is counted, and its submit is rejected.
func TestMetrics_FailedCommitCountsNoFacts(t *testing.T) {
	store := newStore()
	store.always = errors.New("the disk is gone")
	f := newFixture(t, store, store)
	c := withMetrics(f)
	f.run()
	if a := f.do(submit("t1"))[0]; a.Err == nil || a.Err.Code != model.CodeUnavailable {
		t.Fatalf("a submit without a store: %+v", a)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.facts[engine.FactSubmitted] != 0 || c.rejected[model.CodeUnavailable] != 1 {
		t.Errorf("facts %v, rejected %v", c.facts, c.rejected)
	}
}

// A message that finds the inbox full is counted, and so is what waits in the inbox.
func TestMetrics_CountFullInboxAndItsDepth(t *testing.T) {
	store := newStore()
	f := newFixture(t, store, store) // without a loop: the inbox fills
	c := withMetrics(f)
	ops := make([]engine.Event, inboxLimit)
	for i := range ops {
		ops[i] = engine.QueryStatus{}
	}
	if err := f.Do(ops, func([]engine.Answer) {}); err != nil {
		t.Fatal(err)
	}
	if n := f.InboxDepth(); n != inboxLimit {
		t.Errorf("the inbox is %d deep, not %d", n, inboxLimit)
	}
	if err := f.Do([]engine.Event{engine.QueryStatus{}, submitOfQueries("t1")}, func([]engine.Answer) {}); err == nil {
		t.Fatal("a full inbox took a message")
	}
	if c.full != 1 || c.rejected[model.CodeUnavailable] != 1 {
		t.Errorf("full %d times, rejected %v", c.full, c.rejected)
	}
}

// submitOfQueries is a submit without a client, which waits where queries do.
func submitOfQueries(id string) engine.Event {
	s := submit(id).(engine.Submit)
	s.Client = ""
	return s
}

// Figures are there after the load, follow the engine within a second, and outlive it.
func TestFigures_FollowEngineWithinASecond(t *testing.T) {
	store := newStore()
	f := newFixture(t, store, store)
	if n := f.Figures().Slots; n != 0 {
		t.Fatalf("%d slots before the load", n)
	}
	f.run()
	f.do(heartbeat(3), submit("t1"))
	deadline := time.Now().Add(10 * time.Second)
	for got := f.Figures(); got.Slots != 3 || got.Tasks[model.StatusQueued] != 1; got = f.Figures() {
		if time.Now().After(deadline) {
			t.Fatalf("after 10 s: %+v", got)
		}
		f.do(engine.QueryStatus{})
	}
	store.mu.Lock()
	store.always = errors.New("the disk is gone")
	store.mu.Unlock()
	f.do(submit("t2"))
	if got := f.Figures(); got.Slots != 3 {
		t.Errorf("after a failed commit: %+v", got)
	}
}
