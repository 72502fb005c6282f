package aria2rpc

import (
	"context"
	"crypto/sha256"
	"sync"
	"time"
)

const (
	firstDelay   = time.Second // of the answer to a wrong secret; it doubles up to
	lastDelay    = 16 * time.Second
	forgetAfter  = 10 * time.Minute // a key without a failure is forgotten
	maxKeys      = 10_000
	maxDelayed   = 256 // answers that may be held back at once; more are given at once, with 429,
	maxOfAddress = 32  // and of one address
	secretPrefix = 4   // bytes of a secret that make a key: guesses that vary its end share it
)

// throttle delays the answers to wrong secrets, by address and by the beginning of the
// secret. Only a wrong one is delayed. It is safe for concurrent use.
type throttle struct {
	now  func() time.Time
	wait func(context.Context, time.Duration)

	mu       sync.Mutex
	failures map[string]failure
	held     int            // answers that are held back now
	delayed  map[string]int // those of each address
}

type failure struct {
	count int
	last  time.Time
}

func newThrottle() *throttle {
	return &throttle{
		now: time.Now, wait: sleep, failures: make(map[string]failure), delayed: make(map[string]int),
	}
}

func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// failed notes a wrong secret and waits. It reports false, without a wait, if too many
// answers are held back already.
func (t *throttle) failed(ctx context.Context, address, secret string) bool {
	prefix := sha256.Sum256([]byte(secret[:min(len(secret), secretPrefix)]))
	delay := max(t.note("a"+address), t.note("s"+string(prefix[:])))
	if !t.hold(address) {
		return false
	}
	defer t.release(address)
	t.wait(ctx, delay)
	return true
}

// hold takes a place among the answers that are held back.
func (t *throttle) hold(address string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.delayed[address] >= maxOfAddress || t.held >= maxDelayed {
		return false
	}
	t.delayed[address]++
	t.held++
	return true
}

func (t *throttle) release(address string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.held--
	if t.delayed[address]--; t.delayed[address] == 0 {
		delete(t.delayed, address)
	}
}

// note counts a failure of the key and returns its delay.
func (t *throttle) note(key string) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	f, known := t.failures[key]
	if now.Sub(f.last) > forgetAfter {
		f.count = 0
	}
	if !known && len(t.failures) >= maxKeys {
		t.makeRoom(now)
	}
	f.count, f.last = f.count+1, now
	t.failures[key] = f
	return min(firstDelay<<min(f.count-1, 10), lastDelay)
}

// makeRoom forgets what is old, or anything if nothing is.
func (t *throttle) makeRoom(now time.Time) {
	for key, f := range t.failures {
		if now.Sub(f.last) > forgetAfter {
			delete(t.failures, key)
		}
	}
	for key := range t.failures {
		if len(t.failures) < maxKeys {
			return
		}
		delete(t.failures, key)
	}
}
