package agenda

import (
	"slices"
	"testing"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// TestAgenda_StepsComeByTimeThenPlan: steps come by time, and those of one moment in the
// order in which they were planned.
func TestAgenda_StepsComeByTimeThenPlan(t *testing.T) {
	var a Agenda
	var got []int
	for i, at := range []model.Time{30, 10, 20, 10, 30, 10} {
		a.Add(at, func() { got = append(got, i) })
	}
	for range 6 {
		a.Next().Do()
	}
	if want := []int{1, 3, 5, 2, 0, 4}; !slices.Equal(got, want) || a.steps.Len() != 0 {
		t.Errorf("steps come as %v, want %v; %d are left", got, want, a.steps.Len())
	}
}
