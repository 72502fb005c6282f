package app

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// minHeap is the heap size below which no garbage is collected, in bytes. A busy
// dispatcher keeps little and allocates much: with Go's default, twice the live heap,
// collection took a fifth of its processor time (152 µs a task instead of 118; 2 cores,
// SQLite, 64 producers, GOGC=400).
const minHeap = 64 << 20

// SetMinHeap sets a minimum heap size for this process, which Go's runtime has no
// setting for (golang/go#23044): after each collection it sets the percentage so that
// the next one starts at minHeap, or at Go's default if that is more. It is for main
// functions, and does nothing if GOGC or GOMEMLIMIT is set.
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
	samples []metrics.Sample // the percentage refers to their sum
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
	// The object is garbage at once, and the next collection finds it. Without a
	// pointer it might share its memory with objects that stay alive.
	runtime.AddCleanup(&struct{ next *collector }{}, (*collector).adjust, c)
}

// gcPercent is the GOGC for a number of live bytes. Below 4 MB it is constant, because
// the runtime's own minimum is 4 MB × GOGC / 100.
func gcPercent(kept uint64) int {
	return max(int(minHeap*100/max(kept, 4<<20))-100, 100)
}
