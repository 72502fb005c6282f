package app

import (
	"runtime"
	"runtime/metrics"
	"testing"
	"time"
)

// TestGCPercent_SmallHeapGrowsToMinimum checks that a small heap grows to the minimum
// and a large one as by default.
func TestGCPercent_SmallHeapGrowsToMinimum(t *testing.T) {
	for _, c := range []struct{ kept, goal uint64 }{
		{0, minHeap}, // the runtime's least heap is 4 MB × GOGC / 100
		{4 << 20, minHeap},
		{16 << 20, minHeap},
		{32 << 20, minHeap},
		{48 << 20, 96 << 20},
		{100 << 20, 200 << 20},
		{1 << 30, 2 << 30},
	} {
		percent := uint64(gcPercent(c.kept))
		if goal := max(c.kept, 4<<20) * (100 + percent) / 100; goal != c.goal {
			t.Errorf("%d bytes kept: GOGC %d, the next collection at %d, want %d", c.kept, percent, goal, c.goal)
		}
	}
}

// The limit is adjusted after each collection. The setting is the process's own: the
// other tests of this package run with it from then on.
func TestCollector_IsAdjustedAfterEachCollection(t *testing.T) {
	t.Setenv("GOGC", "")
	t.Setenv("GOMEMLIMIT", "")
	SetMinHeap()
	for range 2 {
		held := make([]byte, 2*minHeap)
		awaitPercent(t, func(percent uint64) bool { return percent == 100 })
		runtime.KeepAlive(held) // and no longer
		awaitPercent(t, func(percent uint64) bool { return percent > 100 })
	}
}

// awaitPercent collects until GOGC is as wanted.
func awaitPercent(t *testing.T, wanted func(percent uint64) bool) {
	t.Helper()
	sample := []metrics.Sample{{Name: "/gc/gogc:percent"}}
	for end := time.Now().Add(10 * time.Second); ; runtime.Gosched() {
		runtime.GC()
		metrics.Read(sample)
		percent := sample[0].Value.Uint64()
		if wanted(percent) {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("GOGC stays %d", percent)
		}
	}
}
