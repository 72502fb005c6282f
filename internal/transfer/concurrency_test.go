package transfer

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/pkg/model"
	"github.com/aria-cluster/dispatcher/pkg/repo"
	"github.com/aria-cluster/dispatcher/pkg/repo/memory"
)

// slowTransfers is a backend that waits before it begins a transfer, as a dispatcher
// does while a commit takes long.
type slowTransfers struct {
	memoryTransfers
	asked chan struct{} // has an element for each transfer that is asked for
	ready chan struct{} // closed when they may begin
}

func (s *slowTransfers) wait() {
	s.asked <- struct{}{}
	<-s.ready
}

func (s *slowTransfers) Snapshot(ctx context.Context) (repo.Snapshot, error) {
	s.wait()
	return s.Store.Snapshot(ctx)
}

func (s *slowTransfers) Begin(ctx context.Context, o repo.CopyOptions) (repo.Writer, error) {
	s.wait()
	w, err := s.memoryTransfers.Begin(ctx, o)
	return slowWriter{w, s}, err
}

// slowWriter waits before it takes records.
type slowWriter struct {
	repo.Writer
	s *slowTransfers
}

func (w slowWriter) Put(ctx context.Context, records []repo.Record) (repo.PutStats, error) {
	w.s.wait()
	return w.Writer.Put(ctx, records)
}

func newSlowTransfers(t *testing.T) (*Sessions, *slowTransfers) {
	t.Helper()
	s := &slowTransfers{memoryTransfers: memoryTransfers{Store: memory.New()}, asked: make(chan struct{}, 64), ready: make(chan struct{})}
	x := NewSessions(s, 0, slog.New(slog.DiscardHandler))
	x.registry.replaceAfter = time.Hour
	testbed.Run(t, x.Run)
	return x, s
}

// TestExport_ConcurrentBeginsStayWithinLimit checks that the limit of exports holds
// for those that begin at once: each is counted before its snapshot is taken.
func TestExport_ConcurrentBeginsStayWithinLimit(t *testing.T) {
	x, s := newSlowTransfers(t)
	const begins = 4 * maxExports
	codes := make(chan model.Code, begins)
	for range begins {
		go func() {
			_, err := x.handleExport(t.Context(), &ExportRequest{Begin: true}, 0)
			codes <- model.CodeOf(err)
		}()
	}
	for range begins - maxExports {
		if code := testbed.Receive(t, codes); code != model.CodeTooMany {
			t.Errorf("an export past the limit got %d, want 429", code)
		}
	}
	close(s.ready)
	for range maxExports {
		if code := testbed.Receive(t, codes); code != 0 {
			t.Errorf("an export within the limit got %d", code)
		}
	}
	if len(s.asked) != maxExports {
		t.Errorf("%d snapshots were taken", len(s.asked))
	}
}

// TestExport_FailedFinalBeginAcceptsWritesAgain checks that a final export that
// fails at its start leaves nothing behind: its place is free, and writes are
// accepted, unless an earlier final export has had them refused.
func TestExport_FailedFinalBeginAcceptsWritesAgain(t *testing.T) {
	x, m, _ := newMemoryTransfers(t, time.Hour)
	x.backend = &uncountedTransfers{m}
	for range 2 * maxExports {
		if _, err := x.handleExport(t.Context(), &ExportRequest{Begin: true, Final: true}, 0); !errors.Is(err, errUncounted) {
			t.Fatalf("got %v", err)
		}
	}
	if m.frozen || len(x.registry.sessions) != 0 {
		t.Errorf("writes are refused: %v; exports under way: %d", m.frozen, len(x.registry.sessions))
	}
	x.backend = m
	first := beginning(t, x, true)
	if _, err := x.handleExport(t.Context(), &ExportRequest{Export: first, End: true}, 0); err != nil {
		t.Fatal(err)
	}
	x.backend = &uncountedTransfers{m}
	if _, err := x.handleExport(t.Context(), &ExportRequest{Begin: true, Final: true}, 0); !errors.Is(err, errUncounted) {
		t.Fatalf("got %v", err)
	}
	if !m.frozen || x.frozenFor() != first {
		t.Errorf("after a complete one: writes are refused: %v", m.frozen)
	}
}

var errUncounted = errors.New("the tasks cannot be counted")

// uncountedTransfers has snapshots that fail after they were taken.
type uncountedTransfers struct{ *memoryTransfers }

func (u *uncountedTransfers) Freeze(ctx context.Context) (repo.Snapshot, error) {
	snap, err := u.memoryTransfers.Freeze(ctx)
	return uncounted{snap}, err
}

type uncounted struct{ repo.Snapshot }

func (uncounted) Counts(context.Context) (model.Counts, error) { return nil, errUncounted }

// TestImport_FailedBeginFreesItsPlace checks that an import which cannot begin, by an error or
// by a bug, does not keep the next one out.
func TestImport_FailedBeginFreesItsPlace(t *testing.T) {
	x, _, _ := newMemoryTransfers(t, time.Hour)
	for name, open := range map[string]func(context.Context, string) (resource, error){
		"error": func(context.Context, string) (resource, error) { return nil, errUncounted },
		"panic": func(context.Context, string) (resource, error) { panic("oh") },
	} {
		failed := func() (failed any) {
			defer func() { failed = cmp.Or(failed, recover()) }()
			_, err := x.registry.begin(t.Context(), imports, open)
			return err
		}()
		if failed == nil {
			t.Fatalf("%s: the import has begun", name)
		}
		if n := len(x.registry.sessions); n != 0 {
			t.Errorf("%s: %d sessions are left", name, n)
		}
	}
	if _, err := importBegin(t, x); err != nil {
		t.Error(err)
	}
}

// TestImport_SlowBeginHoldsUpNoOtherTransfer checks that requests of other transfers
// are answered while the dispatcher's loop takes long to begin an import.
func TestImport_SlowBeginHoldsUpNoOtherTransfer(t *testing.T) {
	x, s := newSlowTransfers(t)
	begun := make(chan error, 1)
	go func() {
		_, err := importBegin(t, x)
		begun <- err
	}()
	testbed.Receive(t, s.asked)
	other := make(chan model.Code, 2)
	go func() {
		_, err := x.handleExport(t.Context(), &ExportRequest{Export: "unknown", Kind: repo.KindTask}, 0)
		other <- model.CodeOf(err)
		_, err = x.handleImport(t.Context(), &importRequest{Begin: true}, nil)
		other <- model.CodeOf(err)
	}()
	if code := testbed.Receive(t, other); code != model.CodeNotFound {
		t.Errorf("a page of an unknown export got %d, want 404", code)
	}
	if code := testbed.Receive(t, other); code != model.CodeUnavailable {
		t.Errorf("a second import got %d, want 503", code)
	}
	close(s.ready)
	if err := testbed.Receive(t, begun); err != nil {
		t.Error(err)
	}
}

// TestImport_RequestBehindSlowPutEndsInTime checks that a request which waits for
// another one of its import is answered 503 when its own time is up.
func TestImport_RequestBehindSlowPutEndsInTime(t *testing.T) {
	x, s := newSlowTransfers(t)
	go func() { s.ready <- struct{}{} }() // lets the import begin, and nothing more
	id, err := importBegin(t, x)
	if err != nil {
		t.Fatal(err)
	}
	testbed.Receive(t, s.asked)
	put := make(chan error, 1)
	go func() {
		_, err := x.handleImport(t.Context(), &importRequest{Import: id, N: 1}, records(t, 1))
		put <- err
	}()
	testbed.Receive(t, s.asked)
	late, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	behind := make(chan error, 1)
	go func() {
		_, err := x.handleImport(late, &importRequest{Import: id, Abort: true}, nil)
		behind <- err
	}()
	if err := testbed.Receive(t, behind); model.CodeOf(err) != model.CodeUnavailable {
		t.Errorf("a request behind a slow one: %v, want 503", err)
	}
	close(s.ready)
	if err := testbed.Receive(t, put); err != nil {
		t.Error(err)
	}
}
