package wire

import (
	"fmt"
	"testing"
)

// TestChunks_KeepOrderAndLimit checks that lists keep the order of the elements and the
// limit of bytes.
func TestChunks_KeepOrderAndLimit(t *testing.T) {
	parts := make([][]byte, 0)
	for _, n := range []int{5, 5, 20, 1, 9, 2, 2, 2} {
		parts = append(parts, make([]byte, n))
	}
	lists, skipped := Chunks(parts, 12)
	got := ""
	for _, l := range lists {
		for _, p := range l {
			got += fmt.Sprint(len(p), " ")
		}
		got += "| "
	}
	if got != "5 5 | 1 9 | 2 2 2 | " || skipped != 1 {
		t.Errorf("got %s, %d skipped", got, skipped)
	}
	if lists, _ := Chunks(nil, 10); lists != nil {
		t.Error("nothing became something")
	}
}
