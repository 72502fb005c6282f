package dispatch

import (
	"context"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aria-cluster/dispatcher/internal/engine"
	"github.com/aria-cluster/dispatcher/pkg/model"
	"github.com/aria-cluster/dispatcher/pkg/repo"
)

func cancelOf(id string) engine.Event { return engine.Cancel{Client: "shop", ID: id} }
func retryOf(id string) engine.Event  { return engine.Retry{Client: "shop", ID: id} }

// snapStore counts the snapshots that are open, and may hold one up.
type snapStore struct {
	*gateStore
	open  atomic.Int32
	taken atomic.Int32
	wait  func() // called before a snapshot is returned
}

type countedSnap struct {
	repo.Snapshot
	store  *snapStore
	closed bool
}

func (s *snapStore) Snapshot(ctx context.Context) (repo.Snapshot, error) {
	snap, err := s.Store.Snapshot(context.WithoutCancel(ctx))
	if s.taken.Add(1); s.wait != nil {
		s.wait()
	}
	s.open.Add(1)
	return &countedSnap{Snapshot: snap, store: s}, err
}

func (s *countedSnap) Close() error {
	if !s.closed {
		s.closed = true
		s.store.open.Add(-1)
	}
	return s.Snapshot.Close()
}

func startWith(t *testing.T, s *snapStore) *fixture {
	t.Helper()
	f := newFixture(t, s.gateStore, s)
	f.run()
	return f
}

// busy has the loop stand in a commit until the returned function is called.
func (f *fixture) busy(store *gateStore) (release func()) {
	f.t.Helper()
	before := f.commits()
	f.send(submit(fmt.Sprint("busy", before)))
	for !taken(f) {
		runtime.Gosched()
	}
	return func() {
		store.gate <- struct{}{}
		for f.commits() == before {
			runtime.Gosched()
		}
	}
}

func (f *fixture) commits() int {
	f.store.mu.Lock()
	defer f.store.mu.Unlock()
	return len(f.store.commits)
}

// TestControl_AbandonedBeforeIsNotExecuted: the caller gives up while the loop is
// busy; when that is over nothing of what was asked is done.
func TestControl_AbandonedBeforeIsNotExecuted(t *testing.T) {
	store := &snapStore{gateStore: newStore()}
	store.gate = make(chan struct{}, 100)
	f := startWith(t, store)
	for name, do := range map[string]func(context.Context) error{
		"snapshot": func(ctx context.Context) error { _, err := f.Snapshot(ctx); return err },
		"freeze":   func(ctx context.Context) error { _, err := f.Freeze(ctx); return err },
		"begin":    func(ctx context.Context) error { _, err := f.Begin(ctx, repo.CopyOptions{}); return err },
	} {
		t.Run(name, func(t *testing.T) {
			release := f.busy(store.gateStore)
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() { ended <- do(ctx) }()
			cancel()
			if err := <-ended; err == nil {
				t.Error("the caller got no error")
			}
			release()
			f.wantNothingLeft(store)
		})
	}
}

// wantNothingLeft asks, when the loop has done what was asked of it, that no
// snapshot is open, nothing is frozen and no import is under way.
func (f *fixture) wantNothingLeft(store *snapStore) {
	f.t.Helper()
	type state struct{ frozen, importing bool }
	s, err := runInLoop(f.t.Context(), f.Dispatcher, func(l *loop) (state, error) {
		return state{l.modes.frozen != nil, l.turn.hold.Active}, nil
	}, nil)
	if err != nil || s != (state{}) || store.open.Load() != 0 {
		f.t.Errorf("%+v, %d snapshots open, %v; want nothing left", s, store.open.Load(), err)
	}
}

// TestControl_AbandonedWhileItRunsIsUndone: the caller gives up while the snapshot
// is being taken; the loop closes it, and takes writes again.
func TestControl_AbandonedWhileItRunsIsUndone(t *testing.T) {
	for name, freeze := range map[string]bool{"snapshot": false, "freeze": true} {
		t.Run(name, func(t *testing.T) {
			store := &snapStore{gateStore: newStore()}
			goOn, running := make(chan struct{}), make(chan struct{})
			store.wait = func() { close(running); <-goOn }
			f := startWith(t, store)
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() {
				take := f.Snapshot
				if freeze {
					take = f.Freeze
				}
				snap, err := take(ctx)
				if snap != nil {
					t.Error("it returned a snapshot")
				}
				ended <- err
			}()
			<-running
			cancel()
			if err := <-ended; model.CodeOf(err) != model.CodeUnavailable {
				t.Errorf("the caller got %v, want 503", err)
			}
			close(goOn)
			f.wantNothingLeft(store)
		})
	}
}

// TestControl_GiveUpRacesWithTheResult: the caller gives up at about the time at
// which the result is there. Either it has the snapshot or the loop has closed it.
func TestControl_GiveUpRacesWithTheResult(t *testing.T) {
	store := &snapStore{gateStore: newStore()}
	f := startWith(t, store)
	got := 0
	for i := range 2000 {
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			for range i % 50 {
				runtime.Gosched()
			}
			cancel()
		}()
		snap, err := f.Freeze(ctx)
		cancel()
		if err == nil {
			got++
			if err := snap.Close(); err != nil {
				t.Fatal(err)
			}
			if err := f.Thaw(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	f.wantNothingLeft(store)
	t.Logf("%d of 2000 were taken", got)
}

// TestControl_ResultIsTheCallersAfterwards: a caller that gives up after it has the
// snapshot keeps it, and a freeze stays.
func TestControl_ResultIsTheCallersAfterwards(t *testing.T) {
	store := &snapStore{gateStore: newStore()}
	f := startWith(t, store)
	ctx, cancel := context.WithCancel(t.Context())
	snap, err := f.Freeze(ctx)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if a := f.do(submit("a"))[0]; a.Err == nil || store.open.Load() != 1 {
		t.Errorf("answer %+v, %d snapshots open; want that it is frozen", a, store.open.Load())
	}
	if err := snap.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestThaw_IsDoneThoughTheCallerGaveUp: what ends a mode is done even if nobody
// waits for it any more, and does not end a mode that began later.
func TestThaw_IsDoneThoughTheCallerGaveUp(t *testing.T) {
	store := &snapStore{gateStore: newStore()}
	store.gate = make(chan struct{}, 100)
	f := startWith(t, store)
	w, err := f.Begin(t.Context(), repo.CopyOptions{})
	if err != nil {
		t.Fatal(err)
	}
	release := f.busy(store.gateStore)
	late, cancel := context.WithTimeout(t.Context(), 0)
	defer cancel()
	if err := w.Abort(late); model.CodeOf(err) != model.CodeUnavailable {
		t.Errorf("abort: %v, want 503", err)
	}
	release()
	f.until(func(l *loop) bool { return !l.turn.hold.Active })
	snap, err := f.Freeze(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Thaw(late); model.CodeOf(err) != model.CodeUnavailable {
		t.Errorf("thaw: %v, want 503", err)
	}
	f.until(func(l *loop) bool { return l.modes.frozen == nil })
	if err := snap.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestThaw_LeavesALaterFreezeAlone: a thaw that comes late does not undo a freeze
// that was made after it was asked for.
func TestThaw_LeavesALaterFreezeAlone(t *testing.T) {
	f := start(t, newStore())
	freeze := func() {
		snap, err := f.Freeze(t.Context())
		if err == nil {
			err = snap.Close()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	freeze()
	asked := f.freezes.Load()
	freeze()
	for _, c := range []struct {
		upTo   int64
		frozen bool
	}{{asked, true}, {f.freezes.Load(), false}} {
		frozen, err := runInLoop(t.Context(), f.Dispatcher, func(l *loop) (bool, error) {
			err := l.thawUpTo(t.Context(), c.upTo)
			return l.modes.frozen != nil, err
		}, nil)
		if err != nil || frozen != c.frozen {
			t.Errorf("after a thaw of the freezes up to %d it is frozen: %v, %v; want %v", c.upTo, frozen, err, c.frozen)
		}
	}
}

// until waits for what the loop shows between two turns.
func (f *fixture) until(is func(*loop) bool) {
	f.t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; runtime.Gosched() {
		ok, err := runInLoop(f.t.Context(), f.Dispatcher, func(l *loop) (bool, error) { return is(l), nil }, nil)
		if err != nil || time.Now().After(deadline) {
			f.t.Fatalf("it has not come to that: %v", err)
		}
		if ok {
			return
		}
	}
}
