package download

import (
	"math"
	"testing"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// Figures that cannot be a length or a speed are not known.
func TestState_ClampedFiguresInRange(t *testing.T) {
	for _, n := range []int64{-1, math.MinInt64, model.MaxLength + 1, math.MaxInt64} {
		if s := (State{Completed: n, Total: n, Speed: n}).Clamped(); s.Completed != 0 || s.Total != 0 || s.Speed != 0 {
			t.Errorf("%d became %+v", n, s)
		}
	}
	if s := (State{Completed: 1, Total: model.MaxLength, Speed: 3}).Clamped(); s.Completed != 1 || s.Total != model.MaxLength || s.Speed != 3 {
		t.Errorf("good figures became %+v", s)
	}
	if CheckLength(model.MaxLength) != nil || CheckLength(-1) != nil || CheckLength(model.MaxLength+1) == nil {
		t.Error("the bound of a length is wrong")
	}
}

// A Content-Range of numbers beyond 64 bits is not one.
func TestContentRange_ImpossibleLengthsRefused(t *testing.T) {
	for _, s := range []string{"bytes 0-0/99999999999999999999", "bytes 0-0/-5", "bytes 99999999999999999999-/5", "bytes -5-0/*", "bytes 0-0/1152921504606846977"} {
		if first, total, ok := ContentRange(s); ok {
			t.Errorf("%s: %d, %d", s, first, total)
		}
	}
	if first, total, ok := ContentRange("bytes 0-0/*"); !ok || first != 0 || total != -1 {
		t.Error("an unknown total is refused")
	}
}
