package api

import (
	"slices"
	"testing"

	"github.com/aria-cluster/dispatcher/internal/testbed"
)

// A sender that fills the queue is refused, the others get in, and the senders are served
// in turn.
func TestReadQueue_FloodHoldsUpNoOtherSender(t *testing.T) {
	q := newReadQueue()
	var served []string
	put := func(sender string) bool {
		return q.put(sender, func() { served = append(served, sender) })
	}
	accepted := 0
	for put("flood") {
		accepted++
	}
	if accepted != readLimit {
		t.Errorf("%d reads of one sender are accepted, want %d", accepted, readLimit)
	}
	for i := range fewReads {
		if !put("few") {
			t.Fatalf("read %d of another sender is refused", i)
		}
	}
	if put("few") {
		t.Error("a full queue takes more than a few reads of one sender")
	}
	for accepted += fewReads; put(string(rune('a' + accepted))); accepted++ {
	}
	if accepted != 2*readLimit {
		t.Errorf("%d reads are accepted, want %d", accepted, 2*readLimit)
	}
	for range 2 * readLimit {
		q.take(testbed.Context(t))()
	}
	if first := served[:2]; !slices.Equal(first, []string{"flood", "few"}) {
		t.Errorf("first came %v", first)
	}
	if last := served[readLimit+readLimit/2:]; slices.Contains(last, "few") {
		t.Error("the few reads waited for those of the flood")
	}
	if q.waiting != 0 || len(q.senders) != 0 || len(q.turns) != 0 {
		t.Errorf("%d reads and %d senders are left", q.waiting, len(q.senders))
	}
}
