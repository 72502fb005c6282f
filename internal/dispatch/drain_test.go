package dispatch

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/aria-cluster/dispatcher/internal/engine"
	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// hangingStore is a store whose commits end with their context only, as those of a
// database that does not answer.
type hangingStore struct {
	*gateStore
	committing chan struct{}
}

func (s *hangingStore) Commit(ctx context.Context, _ *model.Batch) error {
	s.committing <- struct{}{}
	<-ctx.Done()
	return ctx.Err()
}

// TestDrain_CommitThatHangsEndsInTime checks that the time of a drain bounds the
// commits in it: a store that does not answer during a stop costs this time, and the
// requests are answered 503.
func TestDrain_CommitThatHangsEndsInTime(t *testing.T) {
	store := &hangingStore{newStore(), make(chan struct{}, 16)}
	d := New(Config{
		Engine: engine.Config{MaxAttempts: 1, MaxPending: 100, RequirementSets: 10},
		Store:  store, Outbox: &sent{}, Connected: func() bool { return true },
		Logger: slog.New(slog.DiscardHandler),
	})
	answers := make(chan []engine.Answer, 2)
	for _, id := range []string{"a", "b"} {
		if err := d.Do([]engine.Event{submit(id)}, func(a []engine.Answer) { answers <- a }); err != nil {
			t.Fatal(err)
		}
	}
	stopped, stop := context.WithCancel(t.Context())
	stop() // the loop only drains
	ended := make(chan error, 1)
	began := time.Now()
	go func() { ended <- d.Run(stopped) }()
	testbed.Receive(t, store.committing)
	if err := testbed.Receive(t, ended); err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took < drainTime {
		t.Errorf("the drain ended after %v, before its time", took)
	}
	for range 2 {
		if a := testbed.Receive(t, answers); a[0].Err == nil || a[0].Err.Code != model.CodeUnavailable {
			t.Errorf("a request got %+v, want 503", a[0])
		}
	}
}
