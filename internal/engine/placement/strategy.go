package placement

import (
	"hash/fnv"
	"io"
	"math"
	"strconv"
)

// Strategy says which of the workers that can take a task gets it.
type Strategy string

// The strategies. Whatever the strategy, a worker that has a part of the task's
// file goes first, see [Constraint].
const (
	StrategyLeastLoaded Strategy = "least_loaded" // the smallest part of its slots in use; the default
	StrategyRoundRobin  Strategy = "round_robin"  // in turn
	StrategyRandom      Strategy = "random"       // each of those with a free slot as likely as any other
	StrategyTags        Strategy = "tags"         // the most matching tags, which then are not required; then least_loaded
)

// workerOrder is the order of workers that take tasks, the best first: those with a free slot,
// then those that take tasks beyond their slots. It is total, so that the choice is always the
// same.
func workerOrder(s Strategy) func(a, b *Worker) bool {
	switch s {
	case StrategyRoundRobin:
		return func(a, b *Worker) bool {
			if a.isFull() != b.isFull() {
				return b.isFull()
			}
			if a.key.lastAssignment != b.key.lastAssignment {
				return a.key.lastAssignment < b.key.lastAssignment
			}
			return a.ID < b.ID
		}
	case StrategyRandom:
		return func(a, b *Worker) bool {
			if a.isFull() != b.isFull() {
				return b.isFull()
			}
			if a.key.randomKey != b.key.randomKey {
				return a.key.randomKey < b.key.randomKey
			}
			return a.ID < b.ID
		}
	}
	return (*Worker).lessLoaded
}

// lessLoaded is the strategy least_loaded: the smaller part of its slots in use,
// then the better health, then the name.
func (w *Worker) lessLoaded(o *Worker) bool {
	a, b := w.key.Used*o.key.Slots, o.key.Used*w.key.Slots
	if a != b {
		return a < b
	}
	if w.key.Health != o.key.Health {
		return w.key.Health > o.key.Health
	}
	return w.ID < o.ID
}

// Assigned notes that a worker gets a task: the strategies go by it, and after the wait of
// a cool-down the other tasks wait for this one.
func (q *Index) Assigned(t *Task, w *Worker) {
	q.assignments++
	w.lastAssignment = q.assignments
	q.lastRandomKey = max(q.lastRandomKey, w.randomKey)
	q.drawRandomKey(w)
	q.beginTrial(t)
}

// drawRandomKey gives the worker its place in the strategy random: the next event of a
// Poisson process of its own, all at the same rate, so that each is as likely as
// any other to be the next, whatever was before. Chance is a hash.
func (q *Index) drawRandomKey(w *Worker) {
	h := fnv.New64a()
	_, _ = io.WriteString(h, w.ID+"/"+strconv.FormatInt(q.assignments, 10)) // a hash never fails to write
	const unit = 1 << 53
	u := float64(mix(h.Sum64())>>11) / unit
	w.randomKey = q.lastRandomKey - math.Log(1-u)
}

// mix spreads the bits of a hash: FNV's first ones hardly depend on the last bytes
// (the finalizer of MurmurHash3, by Austin Appleby, public domain).
func mix(x uint64) uint64 {
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	x *= 0xc4ceb9fe1a85ec53
	return x ^ x>>33
}
