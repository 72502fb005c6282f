package dispatch

import (
	"context"
	"testing"

	"github.com/aria-cluster/dispatcher/pkg/model"
	"github.com/aria-cluster/dispatcher/pkg/repo/memory"
)

// fullStore refuses to write, and notes when it was tried.
type fullStore struct {
	*memory.Store
	full  bool
	tried func()
}

func (s *fullStore) Commit(ctx context.Context, b *model.Batch) error {
	if s.full {
		s.tried()
		return model.Errorf(model.CodeUnavailable, "the disk is full")
	}
	return s.Store.Commit(ctx, b)
}

// A store that refuses is tried again after a wait that doubles up to five seconds.
func TestBackoff_DoublesUpToFiveSeconds(t *testing.T) {
	store := &fullStore{Store: memory.New(), full: true}
	h := newByHandWith(t, Retention{}, store, store.Store)
	var tries []model.Time
	store.tried = func() { tries = append(tries, h.now) }
	began := h.now
	for ; h.now < began+60_000; h.now += 10 { // somebody asks all the time
		if a := h.do(submit("a"))[0]; a.Err == nil || a.Err.Code != model.CodeUnavailable {
			t.Fatalf("answer %+v", a)
		}
	}
	want := model.Time(250)
	for i := 1; i < len(tries); i++ {
		if gap := tries[i] - tries[i-1]; gap != want {
			t.Errorf("the try number %d came %d ms after the one before, want %d", i+1, gap, want)
		}
		want = min(2*want, 5_000)
	}
	if len(tries) < 14 {
		t.Errorf("it was tried %d times in a minute", len(tries))
	}
	store.full = false
	h.now += 5_000
	if a := h.do(submit("a"))[0]; a.Err != nil {
		t.Errorf("five seconds after there is room: %v", a.Err)
	}
	store.full = true
	tries = nil
	for began = h.now; h.now < began+250; h.now += 10 {
		h.do(submit("b"))
	}
	if h.now++; len(tries) != 1 {
		t.Fatalf("tried %d times", len(tries))
	}
	if h.do(submit("b")); len(tries) != 2 {
		t.Errorf("after a success the wait is not the shortest again")
	}
}
