package world

import (
	"container/heap"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// agenda holds the planned steps, by time and, within one moment, in the order in which
// they were planned.
type agenda struct {
	steps   steps
	planned uint64
}

// step is one planned step.
type step struct {
	at     model.Time
	number uint64
	do     func()
}

func (a *agenda) add(at model.Time, do func()) {
	a.planned++
	heap.Push(&a.steps, step{at, a.planned, do})
}

// next removes the first step; the agenda must not be empty.
func (a *agenda) next() step {
	s, _ := heap.Pop(&a.steps).(step)
	return s
}

// steps implements [heap.Interface].
type steps []step

func (s steps) Len() int { return len(s) }
func (s steps) Less(i, j int) bool {
	return s[i].at < s[j].at || s[i].at == s[j].at && s[i].number < s[j].number
}
func (s steps) Swap(i, j int) { s[i], s[j] = s[j], s[i] }

// Push implements [heap.Interface].
func (s *steps) Push(x any) {
	if one, ok := x.(step); ok {
		*s = append(*s, one)
	}
}

// Pop implements [heap.Interface].
func (s *steps) Pop() any {
	last := len(*s) - 1
	one := (*s)[last]
	(*s)[last] = step{}
	*s = (*s)[:last]
	return one
}
