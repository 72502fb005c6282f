package direct

import (
	"sync"
	"sync/atomic"
	"time"
)

// meterSpan is over how long a speed is measured.
const meterSpan = 3 * time.Second

// meter measures a speed over the last seconds. Its zero value is ready.
type meter struct {
	buckets [int(meterSpan/meterStep) + 1]bucket
}

const meterStep = 500 * time.Millisecond

// bucket counts the bytes of one step.
type bucket struct {
	step  int64
	bytes int64
}

func (m *meter) add(now time.Time, n int64) {
	step := now.UnixNano() / int64(meterStep)
	b := &m.buckets[step%int64(len(m.buckets))]
	if b.step != step {
		*b = bucket{step: step}
	}
	b.bytes += n
}

// speed returns bytes/s.
func (m *meter) speed(now time.Time) int64 {
	step := now.UnixNano() / int64(meterStep)
	oldest, sum := step, int64(0)
	for _, b := range m.buckets {
		if b.bytes > 0 && step-b.step < int64(len(m.buckets)) {
			sum += b.bytes
			oldest = min(oldest, b.step)
		}
	}
	span := time.Duration(now.UnixNano() - oldest*int64(meterStep))
	return int64(float64(sum) / max(span, meterStep).Seconds())
}

// rateLimiter holds transfers to a number of bytes a second together. It is safe for
// concurrent use.
type rateLimiter struct {
	limit atomic.Int64 // bytes/s; 0 = none

	mu   sync.Mutex
	next time.Time
}

func newRateLimiter(limit int64) *rateLimiter {
	p := &rateLimiter{}
	p.limit.Store(limit)
	return p
}

// readSize bounds one read, so that a slow transfer is even and not in bursts.
func (p *rateLimiter) readSize(size int) int {
	limit := p.limit.Load()
	if limit == 0 {
		return size
	}
	return int(min(int64(size), max(limit/10, 1)))
}

// wait returns how long to wait after n bytes at the time now.
func (p *rateLimiter) wait(now time.Time, n int) time.Duration {
	limit := p.limit.Load()
	if limit == 0 {
		return 0
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.next.Before(now) {
		p.next = now
	}
	p.next = p.next.Add(time.Duration(float64(n) / float64(limit) * float64(time.Second)))
	return p.next.Sub(now)
}

// slowSpan is over how long a transfer is measured that may be too slow.
const slowSpan = 10 * time.Second

// slownessMeter finds a transfer that brings too little.
type slownessMeter struct {
	limit int64 // bytes/s; 0 = none is too slow
	since time.Time
	bytes int64
}

// add counts n bytes, and that it is we who waited for so long. It reports whether
// over the last span the transfer was not faster than the limit.
func (s *slownessMeter) add(now time.Time, n int, waited time.Duration) bool {
	if s.limit == 0 {
		return false
	}
	if s.since.IsZero() || waited > 0 {
		s.since, s.bytes = now.Add(waited), 0
		return false
	}
	s.bytes += int64(n)
	span := now.Sub(s.since)
	if span < slowSpan {
		return false
	}
	slow := float64(s.bytes)/span.Seconds() <= float64(s.limit)
	s.since, s.bytes = now, 0
	return slow
}
