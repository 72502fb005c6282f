package dispatch

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// storedFreeze is a [FreezeStore] that may refuse.
type storedFreeze struct {
	mu     sync.Mutex
	frozen bool
	fails  error
}

func (s *storedFreeze) Frozen(context.Context) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.frozen, s.fails
}

func (s *storedFreeze) SetFrozen(_ context.Context, frozen bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fails == nil {
		s.frozen = frozen
	}
	return s.fails
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
