package dispatch

import (
	"context"
	"errors"
	"testing"

	"github.com/aria-cluster/dispatcher/internal/engine"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// lateStore completes a commit of unknown outcome when it is asked for what a start needs.
type lateStore struct {
	*gateStore
	fails bool
	late  *model.Batch
}

func (s *lateStore) Commit(ctx context.Context, b *model.Batch) error {
	if s.fails {
		s.fails, s.late = false, b
		return errors.New("the connection broke")
	}
	return s.gateStore.Commit(ctx, b)
}

// LastSeq implements [repo.Loader].
func (s *lateStore) LastSeq(ctx context.Context) (int64, error) {
	if b := s.late; b != nil {
		s.late = nil
		if err := s.gateStore.Commit(ctx, b); err != nil {
			return 0, err
		}
	}
	return s.gateStore.LastSeq(ctx)
}

// A commit that is completed late, while the engine is loaded again, is in the counts.
func TestLoad_CountsALateCommit(t *testing.T) {
	store := &lateStore{gateStore: newStore()}
	f := newFixture(t, store.gateStore, store)
	s := &Stepper{&loop{Dispatcher: f.Dispatcher}}
	s.Load(t.Context())
	store.fails = true
	sent := f.send(submit("a"))
	for s.Step(t.Context()) {
	}
	f.wait(sent)
	answers, ok := s.Query(engine.QueryStatus{})
	if !ok || answers[0].Status.TotalTasks != 1 {
		t.Errorf("the status is %+v", answers)
	}
}
