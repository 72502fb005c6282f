package repo

import (
	"errors"
	"time"
)

// ErrFenced is in the chain of an error of a [Store] that another dispatcher has taken
// over: its term has ended, and nothing was written. The dispatcher must not act any more.
var ErrFenced = errors.New("another dispatcher has taken over the store")

// ErrUnsettled is in the chain of an error of a read that a [Store] refuses while the outcome
// of a commit is unknown. A read of [Loader], or a commit, waits for the outcome.
var ErrUnsettled = errors.New("the outcome of a commit is unknown")

// ErrNotLeader is in the chain of an error of an operation on the leader row that only the
// holder of the row, with its term, may do; or the row has changed since it was observed.
var ErrNotLeader = errors.New("the leader row belongs to another dispatcher")

// LeaderRow says which dispatcher writes to a store that several share.
type LeaderRow struct {
	Term     int64  // rises with each takeover; 0: the store had no leader yet
	Holder   string // names the dispatcher; empty: it has resigned
	Renewals int64  // rises while the holder is alive
	Backend  int32  // process id of the holder's connection that writes, in the database
	// TTL is how long the holder wants the row to stay unchanged before another one takes it;
	// 0: no holder has said it. A holder of a version that does not say it leaves that of a
	// holder before. Who has a longer time waits that one.
	TTL time.Duration
}

// LeaderClaim is what a dispatcher writes into the row that it takes or renews.
type LeaderClaim struct {
	Holder string        // names the dispatcher; not empty
	TTL    time.Duration // as [LeaderRow].TTL
}

// Free reports whether no dispatcher holds the row.
func (r LeaderRow) Free() bool { return r.Holder == "" }
