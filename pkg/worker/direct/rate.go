package direct

import "time"

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

// pace holds a transfer to a number of bytes a second.
type pace struct {
	limit int64 // bytes/s; 0 = none
	next  time.Time
}

// share bounds one read, so that a slow transfer is even and not in bursts.
func (p *pace) share(size int) int {
	if p.limit == 0 {
		return size
	}
	return int(min(int64(size), max(p.limit/10, 1)))
}

// wait returns how long to wait after n bytes at the time now.
func (p *pace) wait(now time.Time, n int) time.Duration {
	if p.limit == 0 {
		return 0
	}
	if p.next.Before(now) {
		p.next = now
	}
	p.next = p.next.Add(time.Duration(float64(n) / float64(p.limit) * float64(time.Second)))
	return p.next.Sub(now)
}
