package dispatch

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/aria-cluster/dispatcher/pkg/model"
	"github.com/aria-cluster/dispatcher/pkg/repo"
)

// storedFreeze is a [FreezeStore] that may refuse.
type storedFreeze struct {
	mu     sync.Mutex
	frozen bool
	fails  error
	// unknown is the outcome of the next change, if it is not nil: it is stored all the same.
	unknown   error
	unsettled error // of such a change, until the next change or Frozen
}

func (s *storedFreeze) Frozen(context.Context) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fails == nil {
		s.unsettled = nil
	}
	return s.frozen, s.fails
}

// readError is what the store of the tasks answers to reads: as PostgreSQL does.
func (s *storedFreeze) readError() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.unsettled
}

func (s *storedFreeze) SetFrozen(_ context.Context, frozen bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fails != nil {
		return s.fails
	}
	s.frozen, s.unsettled, s.unknown = frozen, s.unknown, nil
	return s.unsettled
}

// loseOutcome has the outcome of the next change unknown.
func (s *storedFreeze) loseOutcome() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unknown = fmt.Errorf("%w: %w", model.Errorf(model.CodeUnavailable, "not confirmed"), repo.ErrUnsettled)
}

func (s *storedFreeze) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fails = err
}

// startFrozen starts a dispatcher with a store of freezes.
func startFrozen(t *testing.T, store *snapStore, freezes *storedFreeze) *fixture {
	t.Helper()
	f := newFixture(t, store.gateStore, store)
	f.cfg.Freezes = freezes
	f.run()
	return f
}

// A freeze outlives the dispatcher that made it: the next one at the store refuses writes and
// answers reads, until it is thawed.
func TestFreeze_NextDispatcherRefusesWrites(t *testing.T) {
	store, freezes := &snapStore{gateStore: newStore()}, &storedFreeze{}
	first := startFrozen(t, store, freezes)
	first.do(submit("a"))
	snap, err := first.Freeze(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	second := startFrozen(t, store, freezes)
	if a := second.do(submit("b"))[0]; a.Err == nil || a.Err.Code != model.CodeUnavailable {
		t.Errorf("a submit to the next dispatcher: %+v", a)
	}
	if task, err := second.Task(t.Context(), "shop", "a"); err != nil {
		t.Errorf("its task: %+v, %v", task, err)
	}
	if err := errors.Join(second.Thaw(t.Context()), snap.Close()); err != nil {
		t.Fatal(err)
	}
	for name, f := range map[string]*fixture{"second": second, "third": startFrozen(t, store, freezes)} {
		if a := f.do(submit("b " + name))[0]; a.Err != nil && a.Err.Code == model.CodeUnavailable {
			t.Errorf("a submit to the %s after the thaw: %v", name, a.Err)
		}
	}
}

// A freeze that cannot be stored has refused nothing; a thaw that cannot be stored has
// accepted nothing.
func TestFreeze_StoreThatFailsChangesNothing(t *testing.T) {
	store, freezes := &snapStore{gateStore: newStore()}, &storedFreeze{}
	f := startFrozen(t, store, freezes)
	f.untilDone(submit("a")) // it has loaded
	broken := model.Errorf(model.CodeUnavailable, "the database is gone")
	freezes.fail(broken)
	if _, err := f.Freeze(t.Context()); !errors.Is(err, broken) {
		t.Errorf("freeze: %v", err)
	}
	f.wantNothingLeft(store)
	freezes.fail(nil)
	snap, err := f.Freeze(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	freezes.fail(broken)
	if err := f.Thaw(t.Context()); !errors.Is(err, broken) {
		t.Errorf("thaw: %v", err)
	}
	if a := f.do(submit("b"))[0]; a.Err == nil {
		t.Error("a submit is accepted though the store is frozen")
	}
	freezes.fail(nil)
	if err := errors.Join(f.Thaw(t.Context()), snap.Close()); err != nil {
		t.Fatal(err)
	}
	f.wantNothingLeft(store)
}

// A change of the freeze with an unknown outcome blocks nothing, and ends with writes that are
// accepted, here and by the next dispatcher: a freeze that failed is undone, a thaw is repeated.
func TestFreeze_UnknownOutcomeIsSettled(t *testing.T) {
	for name, change := range map[string]func(f *fixture, freezes *storedFreeze) error{
		"a freeze": func(f *fixture, freezes *storedFreeze) error {
			freezes.loseOutcome()
			_, err := f.Freeze(f.t.Context())
			return err
		},
		"a thaw": func(f *fixture, freezes *storedFreeze) error {
			snap, err := f.Freeze(f.t.Context())
			if err != nil {
				f.t.Fatal(err)
			}
			freezes.loseOutcome()
			return errors.Join(f.Thaw(f.t.Context()), snap.Close())
		},
		"a freeze, then a thaw that fails": func(f *fixture, freezes *storedFreeze) error {
			snap, err := f.Freeze(f.t.Context())
			if err != nil {
				f.t.Fatal(err)
			}
			defer freezes.fail(nil)
			freezes.fail(model.Errorf(model.CodeUnavailable, "the database is gone"))
			return errors.Join(f.Thaw(f.t.Context()), snap.Close())
		},
	} {
		t.Run(name, func(t *testing.T) {
			store, freezes := &snapStore{gateStore: newStore()}, &storedFreeze{}
			store.readError = freezes.readError
			f := startFrozen(t, store, freezes)
			f.untilDone(submit("a"))
			if err := change(f, freezes); model.CodeOf(err) != model.CodeUnavailable {
				t.Fatalf("the change: %v, want 503", err)
			}
			f.untilDone(submit("b"))
			f.wantNothingLeft(store)
			if frozen, _ := freezes.Frozen(t.Context()); frozen {
				t.Error("the store is frozen")
			}
			startFrozen(t, store, freezes).untilDone(submit("c"))
		})
	}
}

// A freeze that has failed beside one that is in force does not end that one.
func TestFreeze_FailedSecondOneKeepsTheFirst(t *testing.T) {
	store, freezes := &snapStore{gateStore: newStore()}, &storedFreeze{}
	f := startFrozen(t, store, freezes)
	f.untilDone(submit("a"))
	snap, err := f.Freeze(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	freezes.loseOutcome()
	if _, err := f.Freeze(t.Context()); model.CodeOf(err) != model.CodeUnavailable {
		t.Errorf("the second freeze: %v, want 503", err)
	}
	f.do(submit("b")) // the engine is loaded again
	f.until(func(l *loop) bool { return l.turn.Loaded() && l.modes.frozen != nil })
	if frozen, _ := freezes.Frozen(t.Context()); !frozen {
		t.Error("the store is not frozen")
	}
	if err := snap.Close(); err != nil {
		t.Fatal(err)
	}
}

// A deposed dispatcher learns that from a change of the freeze, too.
func TestFreeze_FencedOneEndsTheLease(t *testing.T) {
	freezes := &storedFreeze{}
	store := &snapStore{gateStore: newStore()}
	f := newFixture(t, store.gateStore, store)
	lease := &endingLease{}
	lease.looks.Store(1000)
	f.cfg.Freezes = freezes
	f.useLease(lease)
	f.run()
	freezes.fail(repo.ErrFenced)
	if _, err := f.Freeze(t.Context()); !errors.Is(err, repo.ErrFenced) || lease.Held() {
		t.Errorf("freeze: %v, the lease is held: %v", err, lease.Held())
	}
}

// Reads that the store refuses while a commit is not settled lead to a load, which settles it.
func TestTurn_UnsettledReadLeadsToALoad(t *testing.T) {
	store := newStore()
	unsettled := atomic.Bool{}
	store.readError = func() error {
		if unsettled.Load() && store.loads.Load() < 2 {
			return fmt.Errorf("%w: %w", model.Errorf(model.CodeUnavailable, "not confirmed"), repo.ErrUnsettled)
		}
		return nil
	}
	f := start(t, store)
	f.untilDone(submit("a"))
	unsettled.Store(true)
	f.untilDone(submit("b"))
}

// The next dispatcher serves nothing before it knows whether the store is frozen.
func TestFreeze_UnknownIsWaitedFor(t *testing.T) {
	freezes := &storedFreeze{fails: model.Errorf(model.CodeUnavailable, "the database is gone"), frozen: true}
	f := startFrozen(t, &snapStore{gateStore: newStore()}, freezes)
	if a := f.do(submit("a"))[0]; a.Err == nil {
		t.Error("a submit is accepted though the freeze is not known")
	}
	freezes.fail(nil)
	f.until(func(l *loop) bool { return l.turn.Loaded() && l.modes.frozen != nil })
}

// A freeze with a caller that gives up is undone in the store too.
func TestFreeze_AbandonedIsUndoneInTheStore(t *testing.T) {
	freezes := &storedFreeze{}
	store := &snapStore{gateStore: newStore()}
	goOn, running := make(chan struct{}), make(chan struct{})
	store.wait = func() { close(running); <-goOn }
	f := startFrozen(t, store, freezes)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { _, err := f.Freeze(ctx); ended <- err }()
	<-running
	cancel()
	<-ended
	close(goOn)
	f.wantNothingLeft(store)
	if frozen, _ := freezes.Frozen(t.Context()); frozen {
		t.Error("the store is frozen")
	}
}
