package queue

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
)

// maxJobs bounds the numbers of jobs, and with them the ledger.
const maxJobs = 20_000_000

// Ledger records which jobs workers were given, and which of them the system has
// acknowledged as done. It is safe for concurrent use.
type Ledger struct {
	mu        sync.Mutex
	runs      []uint8 // by number: how often it was given to a worker
	given     int64
	distinct  int64
	acked     int64
	lastAck   time.Time
	latencies []time.Duration
	faults    []string
}

// Account summarises a ledger.
type Account struct {
	Given    int64 // jobs given to workers, each time counted
	Distinct int64 // different jobs among them
	Acked    int64 // acknowledged as done
	LastAck  time.Time
	P50, P99 time.Duration // from the call of submit to the worker, since the last Reset
	Faults   []string      // what went wrong, the first ten
}

// Given records that a worker was given the job of that URL.
func (l *Ledger) Given(url string) {
	now := time.Now()
	n, at, err := parse(url)
	if err == nil && (n < 0 || n >= maxJobs) {
		err = fmt.Errorf("job %d is out of range", n)
	}
	if err != nil {
		l.Fault(err)
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if need := int(n) + 1; need > len(l.runs) {
		l.runs = append(l.runs, make([]uint8, need+need/2-len(l.runs))...)
	}
	l.given++
	if l.runs[n] == 0 {
		l.distinct++
	}
	if l.runs[n] < 255 {
		l.runs[n]++
	}
	l.latencies = append(l.latencies, now.Sub(at))
}

// Acked records that the system has acknowledged n jobs as done.
func (l *Ledger) Acked(n int64) {
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.acked += n
	l.lastAck = now
}

// Fault notes what should not have happened.
func (l *Ledger) Fault(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.faults) < 10 {
		l.faults = append(l.faults, err.Error())
	}
}

// Reset forgets the latencies.
func (l *Ledger) Reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.latencies = l.latencies[:0]
}

// Account returns what is known now.
func (l *Ledger) Account() Account {
	l.mu.Lock()
	sorted := slices.Clone(l.latencies)
	a := Account{
		Given: l.given, Distinct: l.distinct, Acked: l.acked, LastAck: l.lastAck, Faults: slices.Clone(l.faults),
	}
	l.mu.Unlock()
	slices.Sort(sorted)
	a.P50, a.P99 = Percentile(sorted, 50), Percentile(sorted, 99)
	return a
}

// counts returns the two figures that are asked for often.
func (l *Ledger) counts() (given, acked int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.given, l.acked
}

// AwaitAcked waits until n jobs are acknowledged as done.
func (l *Ledger) AwaitAcked(ctx context.Context, n int64) error {
	return Poll(ctx, func() (bool, error) {
		_, acked := l.counts()
		return acked >= n, nil
	})
}

// AwaitGiven waits until workers were given n jobs.
func (l *Ledger) AwaitGiven(ctx context.Context, n int64) error {
	return Poll(ctx, func() (bool, error) {
		given, _ := l.counts()
		return given >= n, nil
	})
}

// Poll calls holds every 2 ms until it returns true or fails.
func Poll(ctx context.Context, holds func() (bool, error)) error {
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		if ok, err := holds(); ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// Percentile returns the smallest value that p percent of the sorted values do not
// exceed; 0 of none.
func Percentile[T any](sorted []T, p int) T {
	if len(sorted) == 0 {
		var zero T
		return zero
	}
	return sorted[max(0, (len(sorted)*p+99)/100-1)]
}
