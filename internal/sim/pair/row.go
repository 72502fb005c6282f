package pair

import (
	"context"
	"fmt"
	"runtime"
	"time"

	"github.com/aria-cluster/dispatcher/pkg/model"
	"github.com/aria-cluster/dispatcher/pkg/repo"
)

// row is the leader row, with the statements of pkg/repo/postgres. The database executes
// one at a time.
type row struct{ repo.LeaderRow }

// take takes the row if it is unchanged since it was seen.
func (r *row) take(seen repo.LeaderRow, holder string, ttl time.Duration) (int64, error) {
	if r.LeaderRow != seen {
		return 0, repo.ErrNotLeader
	}
	r.LeaderRow = repo.LeaderRow{Term: r.Term + 1, Holder: holder, TTL: ttl}
	return r.Term, nil
}

// renew and resign need the row of the term and the holder.
func (r *row) renew(term int64, holder string) error {
	if r.Term != term || r.Holder != holder {
		return repo.ErrNotLeader
	}
	r.Renewals++
	return nil
}

func (r *row) resign(term int64, holder string) error {
	if r.Term != term || r.Holder != holder {
		return repo.ErrNotLeader
	}
	r.Holder = ""
	r.Renewals++
	return nil
}

// fencedStore is the store as one leadership writes to it.
type fencedStore struct {
	repo.Store
	process *process
	term    int64
}

// Commit implements [repo.Committer]. It may take long before the transaction is executed,
// and before its answer is back; in both the process may be suspended or end.
func (s *fencedStore) Commit(ctx context.Context, b *model.Batch) error {
	x, w := s.process, s.process.world
	if d := x.inCommit; d > 0 {
		x.inCommit = 0
		x.suspend(d)
		x.park(d)
	}
	x.park(w.commitDelay())
	if w.row.Term != s.term {
		w.counts.Fenced++
		return fmt.Errorf("commit: %w", repo.ErrFenced)
	}
	if err := s.Store.Commit(ctx, b); err != nil {
		w.violate("store-agrees", "the store refuses a batch: %v", err)
		return err
	}
	w.checkCommit(x, s.term, b)
	x.park(w.commitDelay())
	return nil
}

// park lets time pass for the rest of the world while the process waits. It does not
// return if the process ends meanwhile.
func (x *process) park(d model.Time) {
	if d == 0 {
		return
	}
	life := x.life
	x.events <- d
	<-x.resume
	if x.life != life || x.world.over {
		runtime.Goexit() // the process has ended; the loop recovers panics
	}
}
