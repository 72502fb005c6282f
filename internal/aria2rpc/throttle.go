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
	maxDelayed   = 256 // answers that may be held back at once; more are given at once, with 429
	secretPrefix = 4   // bytes of a secret that make a key: guesses that vary its end share it
)

// throttle delays the answers to wrong secrets, by address and by the beginning of the
// secret. Only a wrong one is delayed. It is safe for concurrent use.
type throttle struct {
	now   func() time.Time
	wait  func(context.Context, time.Duration)
	slots chan struct{}

	mu       sync.Mutex
	failures map[string]failure
}

type failure struct {
	count int
	last  time.Time
}

func newThrottle() *throttle {
	return &throttle{
		now: time.Now, wait: sleep, slots: make(chan struct{}, maxDelayed), failures: make(map[string]failure),
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
	select {
	case t.slots <- struct{}{}:
	default:
		return false
	}
	defer func() { <-t.slots }()
	t.wait(ctx, delay)
	return true
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
