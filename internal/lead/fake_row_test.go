package lead

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/aria-cluster/dispatcher/pkg/repo"
)

// database has the leader row.
type database struct {
	mu  sync.Mutex
	row repo.LeaderRow
}

func (d *database) get() repo.LeaderRow {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.row
}

// access is the way of one dispatcher to the row, with faults.
type access struct {
	*database
	rand *rand.Rand // nil: no faults
	down bool       // nothing arrives
}

var errLost = errors.New("the connection broke")

// reach carries a statement to the row and its answer back; either may be late or lost.
func (a *access) reach(ctx context.Context, do func(*repo.LeaderRow) error) error {
	arrives, answered := true, true
	var there, back time.Duration
	a.mu.Lock()
	if a.rand != nil {
		there, back = a.delay(), a.delay()
		arrives, answered = a.rand.IntN(12) > 0, a.rand.IntN(12) > 0
	}
	arrives = arrives && !a.down
	a.mu.Unlock()
	sent := make(chan error, 1)
	go func() { // what has left arrives, whatever becomes of the sender
		elapse(there)
		if !arrives {
			return
		}
		a.mu.Lock()
		err := do(&a.row)
		a.mu.Unlock()
		elapse(back)
		if answered {
			sent <- err
		}
	}()
	select {
	case err := <-sent:
		return err
	case <-ctx.Done():
		return errors.Join(errLost, ctx.Err())
	}
}

// elapse waits. The race detector of Go 1.26 crashes now and then where a goroutine of a synctest
// receives from a timer that is due already.
func elapse(d time.Duration) {
	if d > 0 {
		<-time.After(d)
	}
}

func (a *access) delay() time.Duration {
	if a.rand.IntN(10) == 0 {
		return time.Duration(a.rand.Int64N(int64(4 * time.Second)))
	}
	return time.Duration(a.rand.Int64N(int64(20 * time.Millisecond)))
}

func (a *access) setDown(down bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.down = down
}

func (a *access) Observe(ctx context.Context) (row repo.LeaderRow, err error) {
	read := make(chan repo.LeaderRow, 1)
	if err = a.reach(ctx, func(r *repo.LeaderRow) error { read <- *r; return nil }); err == nil {
		row = <-read
	}
	return row, err
}

func (a *access) Take(ctx context.Context, seen repo.LeaderRow, claim repo.LeaderClaim) (int64, error) {
	taken := make(chan int64, 1)
	err := a.reach(ctx, func(r *repo.LeaderRow) error {
		if r.Term != seen.Term || r.Renewals != seen.Renewals || r.Holder != seen.Holder {
			return repo.ErrNotLeader
		}
		*r = repo.LeaderRow{Term: r.Term + 1, Holder: claim.Holder, TTL: claim.TTL}
		taken <- r.Term
		return nil
	})
	if err != nil {
		return 0, err
	}
	return <-taken, nil
}

func (a *access) Renew(ctx context.Context, term int64, claim repo.LeaderClaim) error {
	return a.reach(ctx, func(r *repo.LeaderRow) error {
		if r.Term != term || r.Holder != claim.Holder {
			return repo.ErrNotLeader
		}
		r.Renewals++
		return nil
	})
}

func (a *access) Resign(ctx context.Context, term int64, holder string) error {
	return a.reach(ctx, func(r *repo.LeaderRow) error {
		if r.Term != term || r.Holder != holder {
			return repo.ErrNotLeader
		}
		r.Holder = ""
		r.Renewals++
		return nil
	})
}
