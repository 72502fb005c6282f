package memory

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// seqs walks the set from a place to its end.
func seqs(o *ordered, after int64, down bool) (got []int64) {
	for w := o.from(after, down); ; w.advance() {
		e, ok := w.peek()
		if !ok {
			return got
		}
		got = append(got, e.seq)
	}
}

// TestOrdered_StaysSorted: an ordered set stays a sorted list, whatever is added and removed.
func TestOrdered_StaysSorted(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var o ordered
		present := make(map[int64]bool)
		for range rapid.IntRange(1, 12).Draw(t, "phases") {
			// A phase adds or removes a run, so that blocks split, empty and join.
			first := rapid.Int64Range(1, 4000).Draw(t, "first")
			n := rapid.Int64Range(1, 2500).Draw(t, "rows")
			step := rapid.Int64Range(1, 3).Draw(t, "step")
			add := rapid.Bool().Draw(t, "add")
			for seq := first; seq < first+n*step; seq += step {
				switch {
				case add && !present[seq]:
					o.add(&row{task: &model.Task{Seq: seq}})
					present[seq] = true
				case !add:
					o.remove(seq) // of none at times
					delete(present, seq)
				}
			}
		}
		var want []int64
		for seq := range present {
			want = append(want, seq)
		}
		slices.Sort(want)
		if got := seqs(&o, 0, false); !slices.Equal(got, want) || o.size != len(want) {
			t.Fatalf("upwards %d rows (size %d), want %d", len(got), o.size, len(want))
		}
		for _, b := range o.blocks {
			if len(b) == 0 || len(b) >= blockSize {
				t.Fatalf("a block of %d", len(b))
			}
		}
		if want != nil && o.last() != want[len(want)-1] {
			t.Fatalf("last is %d, want %d", o.last(), want[len(want)-1])
		}
		from := rapid.Int64Range(1, 12_000).Draw(t, "from")
		at, found := slices.BinarySearch(want, from)
		below := slices.Clone(want[:at])
		slices.Reverse(below)
		if got := seqs(&o, from, true); !slices.Equal(got, below) {
			t.Fatalf("downwards from %d: %d rows, want %d", from, len(got), len(below))
		}
		if o.has(from) != found {
			t.Fatalf("has(%d) is %v", from, o.has(from))
		}
		if found {
			at++
		}
		if got := seqs(&o, from, false); !slices.Equal(got, want[at:]) {
			t.Fatalf("upwards from %d: %d rows, want %d", from, len(got), len(want)-at)
		}
	})
}
