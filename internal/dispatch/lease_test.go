package dispatch

import (
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/aria-cluster/dispatcher/internal/engine"
	"github.com/aria-cluster/dispatcher/pkg/model"
	"github.com/aria-cluster/dispatcher/pkg/repo"
)

// endingLease is a leadership that ends after a number of looks at it.
type endingLease struct{ looks atomic.Int32 }

func (*endingLease) Term() int64  { return 7 }
func (l *endingLease) Held() bool { return l.looks.Add(-1) >= 0 }
func (l *endingLease) End()       { l.looks.Store(0) }

// The answer to a heartbeat has the term of the leader, and so have the commands.
func TestLease_TermInAnswersAndCommands(t *testing.T) {
	f := newFixture(t, newStore(), nil)
	lease := &endingLease{}
	lease.looks.Store(1000)
	f.useLease(lease)
	f.run()
	if a := f.do(heartbeat(1)); a[0].Heartbeat.Term != 7 {
		t.Errorf("the answer has term %d", a[0].Heartbeat.Term)
	}
	f.do(submit("a"))
	f.do(engine.Cancel{Client: "shop", ID: "a"})
	for _, want := range []string{"assign a#1 https://files.example/a to w1 in 7", "drop a#1 from w1 in 7"} {
		if !f.sent.has(want) {
			t.Errorf("%q was not sent", want)
		}
	}
}

// After the end of its lease a dispatcher commits nothing, answers every request 503 and
// sends no command; that holds where the lease ends during a turn too. What was committed
// just before stays.
func TestLease_NothingLeavesAfterItsEnd(t *testing.T) {
	for _, test := range []struct {
		name      string
		looks     int32 // that find the lease held, of those after the load
		commits   int
		submitted bool // into the store
	}{
		{"before the turn", 0, 0, false},
		{"before the commit", 1, 0, false},
		{"after the commit", 2, 1, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			store := newStore()
			f := newFixture(t, store, nil)
			lease := &endingLease{}
			lease.looks.Store(1000)
			f.useLease(lease)
			s := &Stepper{&loop{Dispatcher: f.Dispatcher}}
			s.Load(t.Context())
			beat, status := f.send(heartbeat(1)), make(chan []engine.Answer, 1)
			s.Step(t.Context())
			f.wait(beat)
			commits, words := len(store.commits), len(f.sent.words)

			lease.looks.Store(test.looks)
			submitted := f.send(submit("a"))
			if err := f.Do([]engine.Event{engine.QueryStatus{}}, func(a []engine.Answer) { status <- a }); err != nil {
				t.Fatal(err)
			}
			for s.Step(t.Context()) {
			}
			for _, answers := range [][]engine.Answer{f.wait(submitted), f.wait(status)} {
				if err := answers[0].Err; err != errNotLeader {
					t.Errorf("answered %+v, want %v", answers[0], errNotLeader)
				}
			}
			if n := len(store.commits) - commits; n != test.commits {
				t.Errorf("%d commits, want %d", n, test.commits)
			}
			if rows, err := store.Tasks(t.Context(), []string{"a"}); err != nil || (rows["a"] != nil) != test.submitted {
				t.Errorf("the store has %v, %v", rows, err)
			}
			if len(f.sent.words) != words {
				t.Errorf("sent %q", f.sent.words[words:])
			}
			if f.Ready() || s.loop.turn.Loaded() {
				t.Error("it is still ready, or has an engine")
			}
			lease.looks.Store(1000) // no lease begins again
			if a := f.send(heartbeat(1)); s.Step(t.Context()) || f.wait(a)[0].Err != errNotLeader {
				t.Error("it serves again")
			}
		})
	}
}

// A commit that the store has fenced ends the lease: nothing is loaded again.
func TestLease_FencedCommitEndsIt(t *testing.T) {
	store := newStore()
	f := newFixture(t, store, nil)
	lease := &endingLease{}
	lease.looks.Store(1000)
	f.useLease(lease)
	f.run()
	f.do(heartbeat(1))
	store.mu.Lock()
	store.before = fmt.Errorf("commit: %w", repo.ErrFenced)
	store.mu.Unlock()
	loads := store.loads.Load()
	if a := f.do(submit("a")); a[0].Err != errNotLeader || lease.Held() || store.loads.Load() != loads {
		t.Errorf("answered %+v; %d loads", a[0], store.loads.Load()-loads)
	}
}

// useLease gives the dispatcher a lease, and the words for its term.
func (f *fixture) useLease(l Lease) {
	f.cfg.Lease, f.turn.lease, f.sent.withTerm = l, l, true
}

// A load that ends after the lease leaves no engine.
func TestLease_EndDuringLoadLeavesNoEngine(t *testing.T) {
	f := newFixture(t, newStore(), nil)
	f.useLease(&endingLease{})
	s := &Stepper{&loop{Dispatcher: f.Dispatcher}}
	s.Load(t.Context())
	if _, ok := s.Query(engine.QueryStatus{}); ok || f.Ready() || s.loop.modes.reason().Code != model.CodeUnavailable {
		t.Error("the engine was loaded")
	}
}
