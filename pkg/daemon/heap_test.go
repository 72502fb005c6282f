package daemon

import "testing"

func TestASmallHeapIsCollectedAtTheFloorAndALargeOneAsGoHasIt(t *testing.T) {
	for _, c := range []struct{ kept, goal uint64 }{
		{0, heapFloor}, // the runtime's least heap is 4 MB × GOGC / 100
		{4 << 20, heapFloor},
		{16 << 20, heapFloor},
		{32 << 20, heapFloor},
		{64 << 20, 128 << 20},
		{100 << 20, 200 << 20},
		{1 << 30, 2 << 30},
	} {
		percent := uint64(gcPercent(c.kept))
		if goal := max(c.kept, 4<<20) * (100 + percent) / 100; goal != c.goal {
			t.Errorf("%d bytes kept: GOGC %d, the next collection at %d, want %d", c.kept, percent, goal, c.goal)
		}
	}
}
