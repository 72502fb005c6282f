package download

import (
	"context"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// ProgressWait is between a drop after progress and the next request.
const ProgressWait = 100 * time.Millisecond

// Pause waits for d. It returns false if ctx ends first.
func Pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// NewBackoff returns the waits of one loop that retries: they double from first up to most,
// with jitter, until Reset.
func NewBackoff(first, most time.Duration) *backoff.ExponentialBackOff {
	b := backoff.NewExponentialBackOff()
	b.InitialInterval, b.MaxInterval, b.Multiplier = first, most, 2
	return b
}

// RetryWait returns the wait after the given number of earlier failures, without jitter:
// first doubled for each of them, at most most.
func RetryWait(first, most time.Duration, failures int) time.Duration {
	return min(first<<min(max(failures, 0), 16), most)
}
