package app

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// minHeap is how large the heap may grow before garbage is looked for, in bytes.
// What a busy dispatcher keeps is small and what it throws away is much: with Go's
// own goal, twice what is kept, a fifth of its processor time went into that
// (152 µs a task instead of 118; 2 cores, SQLite, 64 producers, GOGC=400).
const minHeap = 64 << 20

// SetMinHeap gives the heap of this process a least size, which Go's runtime
// has no setting for (golang/go#23044): after each collection the percentage is
// set so that the next one comes at heapFloor, or where Go would have it if that is
// more. It is for main functions, and does nothing where GOGC or GOMEMLIMIT say
// what the operator wants.
func SetMinHeap() {
	if os.Getenv("GOGC") != "" || os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	c := &collector{samples: []metrics.Sample{
		{Name: "/gc/heap/live:bytes"}, {Name: "/gc/scan/stack:bytes"}, {Name: "/gc/scan/globals:bytes"},
	}}
	c.adjust()
}

// collector sets the percentage after each collection.
type collector struct {
	samples []metrics.Sample // the percentage is one of their sum
	percent int
}

func (c *collector) adjust() {
	metrics.Read(c.samples)
	var kept uint64
	for _, s := range c.samples {
		kept += s.Value.Uint64()
	}
	// Each setting stops the world for a moment.
	if percent := gcPercent(kept); percent*10 < c.percent*9 || percent*9 > c.percent*10 {
		c.percent = percent
		debug.SetGCPercent(percent)
	}
	// It is garbage at once: the next collection finds it. An object without a
	// pointer might share its memory with others that live on.
	runtime.AddCleanup(&struct{ next *collector }{}, (*collector).adjust, c)
}

// gcPercent is the GOGC for a heap of which so many bytes are kept. Below 4 MB it
// stays what it is there, the runtime's own least goal being 4 MB × GOGC / 100.
func gcPercent(kept uint64) int {
	return max(int(minHeap*100/max(kept, 4<<20))-100, 100)
}
