package transfer

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/pkg/model"
	"github.com/aria-cluster/dispatcher/pkg/repo"
)

var (
	stateNames = [states]string{"opening", "idle", "busy", "ended"}
	eventNames = [events]string{"opened", "failed", "request", "done", "lastDone", "complete", "abort", "expire", "replace", "stop"}
)

// expectedTransitions is the state machine as a picture: a row for each event, a column
// for each state. A cell is the next state; "!" means that the resource is released,
// "404" and "full" that the request is refused. "." changes nothing.
const expectedTransitions = `
           opening       idle      busy      ended
opened     idle          .         .         .!
failed     ended         .         .         .
request    .404          busy      .         .404
done       .             .         .         .
lastDone   .             .         idle      .
complete   .             ended!    ended!    .
abort      .             ended!    ended!    .
expire     .             ended!    .         .
replace    .full         ended!    .full     .
stop       ended         ended!    ended!    .
`

// countedResource is the real resource of a session, and counts its releases.
type countedResource struct {
	resource
	released int
}

func (c *countedResource) release(ctx context.Context, because event) error {
	c.released++
	return c.resource.release(ctx, because)
}

// sessionIn returns a registered session in that state, with the snapshot or the writer
// of a real store. One that is opened has its resource too, so that a release is seen.
func sessionIn(t *testing.T, x *Sessions, k *kind, in state) (*session, *countedResource) {
	t.Helper()
	var c *countedResource
	open := func(ctx context.Context, id string) (resource, error) {
		if k == imports {
			w, err := x.backend.Begin(ctx, repo.CopyOptions{})
			c = &countedResource{resource: &recordWriter{w: w}}
			return c, err
		}
		snap, err := x.backend.Snapshot(ctx)
		c = &countedResource{resource: &snapshotReader{sessions: x, id: id, snap: snap}}
		return c, err
	}
	if in == stateOpening {
		s, _, err := x.registry.reserve(k)
		if err != nil {
			t.Fatal(err)
		}
		if s.resource, err = open(t.Context(), s.id); err != nil {
			t.Fatal(err)
		}
		return s, c
	}
	s, err := x.registry.begin(t.Context(), k, open)
	if err != nil {
		t.Fatal(err)
	}
	switch in {
	case stateBusy:
		if _, _, err := x.registry.enter(t.Context(), k, s.id); err != nil {
			t.Fatal(err)
		}
	case stateEnded:
		if err := x.registry.end(t.Context(), s, eventComplete); err != nil {
			t.Fatal(err)
		}
		c.released = 0
	}
	return s, c
}

// TestSession_EachEventInEachState walks every event in every state, for exports and
// imports, and compares the next state and the action with the picture.
func TestSession_EachEventInEachState(t *testing.T) {
	rows := strings.Split(strings.TrimSpace(expectedTransitions), "\n")
	if len(rows) != int(events)+1 {
		t.Fatalf("%d events are expected, not %d", len(rows)-1, events)
	}
	for _, k := range []*kind{exports, imports} {
		for ev := range events {
			cells := strings.Fields(rows[ev+1])
			if len(cells) != int(states)+1 || cells[0] != eventNames[ev] {
				t.Fatalf("the row of %s: %q", eventNames[ev], cells)
			}
			for from := range states {
				x, _, _ := newMemoryTransfers(t, time.Hour)
				s, c := sessionIn(t, x, k, from)
				if s.state != from {
					t.Fatalf("a session that should be %s is %s", stateNames[from], stateNames[s.state])
				}
				if got := outcomeOf(t, x.registry, s, c, ev); got != cells[from+1] {
					t.Errorf("%s while %s: %q, want %q", eventNames[ev], stateNames[from], got, cells[from+1])
				}
				_, registered := x.registry.sessions[s.id]
				if registered != (s.state != stateEnded) {
					t.Errorf("%s while %s: the state is %s, in the registry: %v", eventNames[ev], stateNames[from], stateNames[s.state], registered)
				}
			}
		}
	}
}

// outcomeOf applies the event, releases the session if that is the action, and returns
// the cell of the picture.
func outcomeOf(t *testing.T, r *registry, s *session, c *countedResource, ev event) string {
	t.Helper()
	from := s.state
	r.mu.Lock()
	do := r.apply(s, ev)
	r.mu.Unlock()
	cell := "."
	if s.state != from {
		cell = stateNames[s.state]
	}
	switch do {
	case actionRelease:
		if err := s.resource.release(t.Context(), ev); err != nil && from != stateEnded {
			t.Errorf("%s while %s: %v", eventNames[ev], stateNames[from], err)
		}
		cell += strings.Repeat("!", c.released)
	case actionUnknown:
		cell += "404"
	case actionOccupied:
		cell += "full"
	}
	return cell
}

// TestSession_StopWhileOpeningReleasesOnce checks that a session which is being opened
// while the dispatcher stops is released by the request that opens it, and refused.
func TestSession_StopWhileOpeningReleasesOnce(t *testing.T) {
	for name, k := range map[string]*kind{"export": exports, "import": imports} {
		x, _, _ := newMemoryTransfers(t, time.Hour)
		c := &countedResource{}
		_, err := x.registry.begin(t.Context(), k, func(ctx context.Context, id string) (resource, error) {
			x.registry.stop(ctx)
			if k == imports {
				w, err := x.backend.Begin(ctx, repo.CopyOptions{})
				c.resource = &recordWriter{w: w}
				return c, err
			}
			snap, err := x.backend.Snapshot(ctx)
			c.resource = &snapshotReader{sessions: x, id: id, snap: snap}
			return c, err
		})
		if model.CodeOf(err) != model.CodeUnavailable || c.released != 1 {
			t.Errorf("%s: %v, released %d times", name, err, c.released)
		}
	}
}

// TestSession_RequestBehindEndIsUnknown checks that a request which waited while its
// session was ended is answered 404: it must not use a closed snapshot.
func TestSession_RequestBehindEndIsUnknown(t *testing.T) {
	x := NewSessions(&memoryTransfers{}, 0, slog.New(slog.DiscardHandler))
	k := exports
	s := &session{id: "a", kind: k, state: stateIdle, work: make(workSlot, 1), resource: &countedResource{resource: &recordWriter{}}}
	x.registry.sessions[s.id] = s
	_, leave, err := x.registry.enter(t.Context(), k, s.id)
	if err != nil {
		t.Fatal(err)
	}
	used := make(chan error, 1)
	go func() {
		_, err := x.registry.use(t.Context(), k, s.id, func(*session) (any, error) { return nil, nil })
		used <- err
	}()
	testbed.Eventually(t, "the second request waits", func() bool {
		x.registry.mu.Lock()
		defer x.registry.mu.Unlock()
		return s.requests == 2
	})
	x.registry.mu.Lock()
	x.registry.apply(s, eventComplete)
	x.registry.mu.Unlock()
	leave()
	if err := testbed.Receive(t, used); model.CodeOf(err) != model.CodeNotFound {
		t.Errorf("a request behind the end: %v, want 404", err)
	}
}
