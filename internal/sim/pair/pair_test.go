package pair

import (
	"strings"
	"testing"
)

// Each seed holds, the same seed gives the same trace, and what the pair is for occurs:
// takeovers, commits that the fence refuses, messages that workers ignore.
func TestRun_SeedsHoldAndKindsOccur(t *testing.T) {
	var sum Counts
	for seed := range uint64(30) {
		var trace strings.Builder
		r := Run(seed, &trace)
		if r.Violation != nil {
			t.Fatalf("seed %d: %v\n%s", seed, r.Violation, trace.String())
		}
		if again := Run(seed, nil); again.Trace != r.Trace || again.Counts != r.Counts {
			t.Errorf("seed %d gives the traces %x and %x", seed, r.Trace, again.Trace)
		}
		sum.Add(r.Counts)
	}
	if sum.Terms < 150 || sum.Fenced < 5 || sum.Ignored < 5 || sum.Refused < 50 || sum.Suspended < 30 {
		t.Errorf("only %+v occurred", sum)
	}
}
