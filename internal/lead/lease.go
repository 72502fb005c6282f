package lead

import (
	"sync"
	"sync/atomic"
	"time"
)

// Lease is one leadership. It is safe for concurrent use.
type Lease struct {
	term  int64
	clock func() time.Duration
	until atomic.Int64 // the end of the window, by the clock; see ended
	end   sync.Once
	done  chan struct{}
}

// ended is the end of the window of a lease that is over.
const ended = -1

func newLease(term int64, until time.Duration, clock func() time.Duration) *Lease {
	l := &Lease{term: term, clock: clock, done: make(chan struct{})}
	l.until.Store(int64(until))
	return l
}

// Term returns the number of this leadership.
func (l *Lease) Term() int64 { return l.term }

// Held reports whether no other dispatcher can lead now. After false it never returns
// true again.
func (l *Lease) Held() bool {
	if int64(l.clock()) < l.until.Load() {
		return true
	}
	l.End()
	return false
}

// End ends the lease: the store has another leader, or may have.
func (l *Lease) End() {
	l.until.Store(ended)
	l.end.Do(func() { close(l.done) })
}

// Done is closed at the end of the lease, if a look has found it.
func (l *Lease) Done() <-chan struct{} { return l.done }

// left returns the time until the end of the window.
func (l *Lease) left() time.Duration { return time.Duration(l.until.Load()) - l.clock() }

// extend moves the end of the window, unless the lease is over.
func (l *Lease) extend(until time.Duration) {
	for l.Held() {
		before := l.until.Load()
		if before == ended || int64(until) <= before || l.until.CompareAndSwap(before, int64(until)) {
			return
		}
	}
}
