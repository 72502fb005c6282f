package logthrottle

import (
	"testing"
	"time"
)

// TestThrottle_PassesBurstPerQuietTime counts what passes of many messages, and what
// the next quiet time's first one stands for.
func TestThrottle_PassesBurstPerQuietTime(t *testing.T) {
	start := time.Unix(1_800_000_000, 0)
	for _, c := range []struct{ burst, passes int }{{0, 1}, {1, 1}, {20, 20}} {
		th := Throttle{Burst: c.burst}
		passed := 0
		for i := range 1000 {
			if th.take(start.Add(time.Duration(i)*time.Millisecond)) > 0 {
				passed++
			}
		}
		if passed != c.passes {
			t.Errorf("burst %d: %d passed, want %d", c.burst, passed, c.passes)
		}
		if n := th.take(start.Add(Quiet)); n != 1000-c.passes+1 {
			t.Errorf("burst %d: the next one stands for %d, want %d", c.burst, n, 1000-c.passes+1)
		}
	}
	th := Throttle{Quiet: time.Minute}
	for _, c := range []struct {
		after time.Duration
		want  int
	}{{0, 1}, {Quiet, 0}, {time.Minute, 2}} {
		if n := th.take(start.Add(c.after)); n != c.want {
			t.Errorf("with a quiet time of a minute, after %v: %d, want %d", c.after, n, c.want)
		}
	}
}
