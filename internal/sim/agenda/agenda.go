package agenda

import (
	"container/heap"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// Agenda holds the planned steps, by time and, within one moment, in the order in which
// they were planned.
type Agenda struct {
	steps   steps
	planned uint64
}

// Step is one planned step.
type Step struct {
	At     model.Time
	number uint64
	Do     func()
}

// Add plans a step.
func (a *Agenda) Add(at model.Time, do func()) {
	a.planned++
	heap.Push(&a.steps, Step{at, a.planned, do})
}

// Next removes the first step; the agenda must not be empty.
func (a *Agenda) Next() Step {
	s, _ := heap.Pop(&a.steps).(Step)
	return s
}

// steps implements [heap.Interface].
type steps []Step

func (s steps) Len() int { return len(s) }
func (s steps) Less(i, j int) bool {
	return s[i].At < s[j].At || s[i].At == s[j].At && s[i].number < s[j].number
}
func (s steps) Swap(i, j int) { s[i], s[j] = s[j], s[i] }

// Push implements [heap.Interface].
func (s *steps) Push(x any) {
	if one, ok := x.(Step); ok {
		*s = append(*s, one)
	}
}

// Pop implements [heap.Interface].
func (s *steps) Pop() any {
	last := len(*s) - 1
	one := (*s)[last]
	(*s)[last] = Step{}
	*s = (*s)[:last]
	return one
}
