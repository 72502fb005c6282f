package placement

import (
	"iter"
	"slices"
	"strings"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// Worker is what placing needs of a worker.
type Worker struct {
	ID string // set before [Index.AddWorker], never changed

	class          *workerClass
	diskFree       int64
	load           Load
	accepting      bool    // among those that take new work
	free           bool    // takes new work, in a slot or ahead; from then on it takes part in the draws
	lastAssignment int64   // when it got its last task, counted in tasks
	randomKey      float64 // its place in the strategy random
	inFree         int32
	inTakeable     int32 // among those from which a task can be taken back
	isHeapDirty    bool
	reserved       reservations // set queues that wait for a free slot of this worker alone
	key            workerKey
}

// Load is how much of a worker is in use.
type Load struct {
	Used, Slots int
	Ahead       int // tasks that it takes beyond its slots
	// Lowest is the lowest priority of the tasks beyond its slots that can be taken back, 0
	// without one.
	Lowest model.Priority
	Health float64 // 0 to 100
}

// Offer is what a worker supports, and whether it takes new work.
type Offer struct {
	Capabilities *model.Capabilities
	DiskFree     int64 // bytes; 0 = not reported
	Accepting    bool  // it takes new work when it has a slot
}

// workerKey is what the heaps order free workers by: a copy of the worker's values as of
// its last [Index.UpdateHeaps]. Between two of these the heaps stay in order.
type workerKey struct {
	Load
	lastAssignment int64
	randomKey      float64
}

// AddWorker registers a worker. It gets nothing before its first offer.
func (q *Index) AddWorker(w *Worker) {
	q.drawRandomKey(w)
	q.workers[w.ID] = w
	q.sortedWorkers = slices.Insert(q.sortedWorkers, q.rankOf(w), w)
}

// rankOf returns the place of a worker in sortedWorkers.
func (q *Index) rankOf(w *Worker) int {
	i, _ := slices.BinarySearchFunc(q.sortedWorkers, w, func(a, b *Worker) int { return strings.Compare(a.ID, b.ID) })
	return i
}

// WorkersAfter yields the workers by name, from the first one after a name on.
func (q *Index) WorkersAfter(name string) iter.Seq[*Worker] {
	i, found := slices.BinarySearchFunc(q.sortedWorkers, name, func(w *Worker, name string) int { return strings.Compare(w.ID, name) })
	if found {
		i++
	}
	return slices.Values(q.sortedWorkers[i:])
}

// RemoveWorker forgets a worker that no task waits for.
func (q *Index) RemoveWorker(w *Worker) {
	q.unclassify(w)
	delete(q.workers, w.ID)
	i := q.rankOf(w)
	q.sortedWorkers = slices.Delete(q.sortedWorkers, i, i+1)
}

// HasOffer reports whether the worker has made an offer.
func (w *Worker) HasOffer() bool { return w.class != nil }

// Accepting reports whether the worker takes new work, as of its last offer.
func (w *Worker) Accepting() bool { return w.accepting }

// HasSlot reports whether the worker had a free slot at the last [Index.UpdateHeaps].
func (w *Worker) HasSlot() bool { return w.inFree > 0 && !w.isFull() }

// TakesTasks reports whether the worker could get a task at the last [Index.UpdateHeaps], in
// a slot or beyond its slots.
func (w *Worker) TakesTasks() bool { return w.inFree > 0 }

// SetOffer puts the worker among those that can do the same. Call it whenever one of
// these has changed. If it no longer takes new work, the caller releases the tasks that
// are bound to it, see [Index.FirstBound].
func (q *Index) SetOffer(w *Worker, o Offer, l Load) {
	q.unclassify(w)
	w.diskFree, w.load = o.DiskFree, l
	q.classify(w, o.Capabilities, o.Accepting)
}

// SetDiskFree notes the free disk of a worker. It reports whether the worker needs a new
// [Index.SetOffer] for that.
func (q *Index) SetDiskFree(w *Worker, free int64) bool {
	w.diskFree = free
	return w.class != nil && w.class.disk != q.diskTier(free)
}

// SetLoad notes what of a worker is in use. [Index.UpdateHeaps] applies it.
func (q *Index) SetLoad(w *Worker, l Load) {
	w.load = l
	free := w.accepting && l.Used < l.Slots+l.Ahead
	if free && !w.free && w.randomKey < q.lastRandomKey {
		q.drawRandomKey(w) // it took no part in the draws meanwhile
	}
	w.free = free
	if !w.isHeapDirty {
		w.isHeapDirty = true
		q.heapDirty = append(q.heapDirty, w)
	}
}

// UpdateHeaps moves the workers that have changed to where their free slots can be
// taken, or removes them from there. Call it once for each event: a heap compares copies,
// so a worker may change before its place does.
func (q *Index) UpdateHeaps() {
	for _, w := range q.heapDirty {
		w.isHeapDirty = false
		q.updateHeap(w)
	}
	q.heapDirty = q.heapDirty[:0]
}

func (q *Index) updateHeap(w *Worker) {
	if w.class == nil {
		return
	}
	isLower := w.load.Lowest > 0 && (w.key.Lowest == 0 || w.load.Lowest < w.key.Lowest)
	isNew := w.free && (w.inFree == 0 || w.isFull() && w.load.Used < w.load.Slots)
	w.key = workerKey{Load: w.load, lastAssignment: w.lastAssignment, randomKey: w.randomKey}
	q.updateFree(w, w.free, isNew)
	q.updateTakeable(w, w.load.Lowest > 0)
	if isLower {
		q.retryClaims(w)
	}
	if isNew {
		for _, s := range q.bound[w.ID] {
			q.markReady(s)
		}
	}
}

// updateFree moves a worker of a worker class to its place among those that take tasks, or
// removes it from there. isNew says that it takes tasks which it did not take before.
func (q *Index) updateFree(w *Worker, free, isNew bool) {
	class := w.class
	var best *Worker
	if class.free.Len() > 0 {
		best = class.free.Top()
	}
	if free {
		class.free.Fix(w)
	} else {
		class.free.Remove(w)
	}
	switch {
	case class.free.Len() == 0:
		if best != nil {
			for _, m := range class.matches {
				m.set.free.Remove(m)
			}
		}
	case class.free.Top() != best || w == best:
		for _, m := range class.matches {
			m.set.free.Fix(m)
		}
	}
	if isNew {
		for _, m := range class.matches {
			q.markReady(m.set)
		}
	}
}

// reclassify is for a worker whose free disk is in another tier.
func (q *Index) reclassify(w *Worker) {
	capabilities, accepting := w.class.capabilities, w.accepting
	q.unclassify(w)
	q.classify(w, &capabilities, accepting)
}

func (q *Index) classify(w *Worker, c *model.Capabilities, accepting bool) {
	w.class = q.classOf(c, q.diskTier(w.diskFree))
	w.class.workers++
	q.changes++
	if accepting {
		q.countAccepting(w, 1)
	}
	q.SetLoad(w, w.load)
}

// unclassify removes a worker from its class.
func (q *Index) unclassify(w *Worker) {
	class := w.class
	if class == nil {
		return
	}
	q.updateFree(w, false, false)
	q.updateTakeable(w, false)
	w.key.Lowest = 0 // its next class notes it again
	w.free = false
	q.changes++
	if w.accepting {
		q.countAccepting(w, -1)
	}
	if class.workers--; class.workers == 0 {
		q.removeClass(class)
	}
	w.class = nil
}

// countAccepting counts a worker in or out of those that take new work.
func (q *Index) countAccepting(w *Worker, n int) {
	w.accepting = n > 0
	q.accepting += n
	q.changes++
	w.class.accepting += n
	for _, m := range w.class.matches {
		m.set.accepting += n
	}
	for _, capability := range capabilitiesOf(&w.class.capabilities) {
		if q.capabilityCounts[capability] += n; q.capabilityCounts[capability] == 0 {
			delete(q.capabilityCounts, capability)
		}
	}
}
