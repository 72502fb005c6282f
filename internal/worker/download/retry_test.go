package download

import (
	"testing"
	"time"
)

// The waits double up to the longest one, after any number of failures.
func TestRetryWait_DoublesUpToTheLongest(t *testing.T) {
	for failures, want := range map[int]time.Duration{
		-1: time.Second, 0: time.Second, 1: 2 * time.Second, 3: 8 * time.Second, 4: 10 * time.Second, 1 << 40: 10 * time.Second,
	} {
		if got := RetryWait(time.Second, 10*time.Second, failures); got != want {
			t.Errorf("after %d failures: %v, want %v", failures, got, want)
		}
	}
}

// The waits of a loop grow from the first to the longest one, and begin again after Reset.
func TestNewBackoff_GrowsUntilReset(t *testing.T) {
	b := NewBackoff(100*time.Millisecond, time.Second)
	if wait := b.NextBackOff(); wait > 150*time.Millisecond {
		t.Errorf("the first wait is %v", wait)
	}
	for range 10 {
		b.NextBackOff()
	}
	if wait := b.NextBackOff(); wait < 500*time.Millisecond || wait > 1500*time.Millisecond {
		t.Errorf("the longest wait is %v", wait)
	}
	if b.Reset(); b.NextBackOff() > 150*time.Millisecond {
		t.Error("Reset has no effect")
	}
}
