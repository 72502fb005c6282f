package testbed

import (
	"errors"
	"fmt"
	"runtime"
	"testing"
	"time"
)

// verdict is a test that notes how it ends.
type verdict struct {
	testing.TB

	text string
}

func (*verdict) Helper() {}

func (v *verdict) Fatalf(format string, args ...any) {
	v.text = "failed: " + fmt.Sprintf(format, args...)
	runtime.Goexit()
}

func (v *verdict) Skipf(format string, args ...any) {
	v.text = "skipped: " + fmt.Sprintf(format, args...)
	runtime.Goexit()
}

// of returns how a test ends early; "" if it runs to its end.
func of(test func(t testing.TB)) string {
	v, done := &verdict{}, make(chan struct{})
	go func() {
		defer close(done)
		test(v)
	}()
	<-done
	return v.text
}

// A missing tool skips the test with a message, and fails it in CI.
func TestMissing_SkipsOrFailsInCI(t *testing.T) {
	missing := func(t testing.TB) { Missing(t, "node", errors.New("no node")) }
	for require, want := range map[string]string{
		"":  "skipped: NOT TESTED: no node (apt-get install nodejs)",
		"1": "failed: ARIA_TEST_REQUIRE=1, but no node (apt-get install nodejs)",
	} {
		t.Setenv("ARIA_TEST_REQUIRE", require)
		if got := of(missing); got != want {
			t.Errorf("%q, want %q", got, want)
		}
		if got := of(func(t testing.TB) { RequireBinary(t, "no-such-program") }); got == "" {
			t.Error("a program that nobody has is found")
		}
		if got := of(func(t testing.TB) { RequireBinary(t, "go") }); got != "" {
			t.Error(got)
		}
	}
}

// Eventually returns as soon as its condition holds.
func TestEventually_ReturnsWhenConditionHolds(t *testing.T) {
	if got := of(func(t testing.TB) {
		Within(t, 10*time.Millisecond, "the end", func() bool { return false })
	}); got != "failed: after 10ms still not: the end" {
		t.Error(got)
	}
	looks := 0
	if got := of(func(t testing.TB) { Eventually(t, "the third", func() bool { looks++; return looks == 3 }) }); got != "" || looks != 3 {
		t.Errorf("%q after %d looks", got, looks)
	}
}
