package placement

import (
	"slices"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// A worker can hold tasks beyond its slots, which it begins by itself, see [Load].Ahead. Such a
// worker stays in the heaps while it is full, behind every worker with a free slot. A task
// with a timeout needs a free slot: its time must not pass in a queue. So does a task that
// waits for the worker with a part of its file, and one that tries a host after its cool-down:
// others wait for it. While one waits, the workers that could have it get nothing of its
// priority or lower beyond their slots; otherwise they would have no free slot for as long as
// other tasks wait.

// reservations count, by level, the set queues that wait for a free slot.
type reservations [priorities]int32

// isFull reports whether the worker had no free slot at the last [Index.UpdateHeaps].
func (w *Worker) isFull() bool { return w.key.Used >= w.key.Slots }

// needsSlot reports whether the tasks of the set take no place beyond the slots.
func (s *requirementSet) needsSlot() bool { return s.requirements.slot || s.cools || s.boundTo != "" }

// reserveSlots notes that the first task of a set queue has come, or the last one has left. Where
// the set needs free slots, its workers then take nothing ahead, or do so again.
func (q *Index) reserveSlots(c *setQueue, n int32) {
	if id := c.set.boundTo; id != "" {
		if w := q.workers[id]; w != nil {
			if w.reserved[c.level()] += n; w.reserved[c.level()] == 0 && w.class != nil {
				q.markClassReady(w.class)
			}
		}
		return
	}
	if !c.set.needsSlot() {
		return
	}
	sets := 0 // of the classes that take tasks ahead again
	for _, m := range c.set.matches {
		if q.reserveClass(m.class, c.level(), n) {
			sets += len(m.class.matches)
		}
	}
	if sets > len(q.sets) { // thousands of classes may serve the same thousands of sets
		for _, s := range q.sets { // in any order: the heap of ready ones has a total one
			q.markReady(s)
		}
		return
	}
	for i := 0; sets > 0 && i < len(c.set.matches); i++ {
		if class := c.set.matches[i].class; class.reserved[c.level()] == 0 {
			q.markClassReady(class)
		}
	}
}

// reserveClass counts a set queue that waits for a free slot of a class, in or out, and reports
// whether the class takes tasks of its level ahead again.
func (q *Index) reserveClass(class *workerClass, level int, n int32) bool {
	class.reserved[level] += n
	return class.reserved[level] == 0 && class.free.Len() > 0
}

// markClassReady makes the set queues ready that have tasks for a class.
func (q *Index) markClassReady(class *workerClass) {
	if class.free.Len() > 0 {
		for _, m := range class.matches {
			q.markReady(m.set)
		}
	}
}

// isReserved reports whether a set queue waits for a free slot before which no task of the
// given level is placed.
func (q *Index) isReserved(r *reservations, level int) bool {
	if q.cfg.Ageing > 0 {
		level = 0 // the order of tasks is not that of their levels
	}
	for _, n := range r[level:] {
		if n > 0 {
			return true
		}
	}
	return false
}

// pickAhead returns the best worker that takes a task of the set queue beyond its slots, nil
// if none does. No worker that may take it has a free slot.
func (q *Index) pickAhead(c *setQueue) *Worker {
	s := c.set
	if s.needsSlot() || s.free.Len() == 0 {
		return nil
	}
	skipped := func(w *Worker) bool {
		return q.isReserved(&w.reserved, c.level()) || slices.Contains(s.excluded, w.ID)
	}
	if m := s.free.Top(); !q.isReserved(&m.class.reserved, c.level()) && !skipped(m.class.free.Top()) {
		return m.class.free.Top()
	}
	m, ok := s.free.Best(func(m *match) bool {
		_, ok := m.class.free.Best(skipped)
		return !ok || q.isReserved(&m.class.reserved, c.level())
	})
	if !ok {
		return nil
	}
	w, _ := m.class.free.Best(skipped)
	return w
}

// Claim is a task that is taken back for one that waits in a set queue. The zero Claim is for
// none.
type Claim struct{ queue *setQueue }

// EndClaim notes that the task is taken back, or that it will not be.
func (q *Index) EndClaim(claim Claim) {
	if c := claim.queue; c != nil {
		c.claims--
		q.retryClaim(c)
	}
}

// retryClaim has [Index.Place] look at a set queue again that found no worker.
func (q *Index) retryClaim(c *setQueue) {
	if c.heads.Len() > 0 && c.inReady == 0 {
		q.levels[c.level()].ready.Fix(c)
	}
}

// retryClaims is retryClaim for all that may claim a task of a worker.
func (q *Index) retryClaims(w *Worker) {
	for level := int(w.key.Lowest); level < priorities; level++ { // those above it
		for _, m := range w.class.matches {
			q.retryClaim(&m.set.byPriority[level])
		}
		for _, s := range q.bound[w.ID] {
			q.retryClaim(&s.byPriority[level])
		}
	}
}

// canClaim reports whether a task can be taken back for those of a set queue.
func (q *Index) canClaim(c *setQueue) bool {
	return q.takeable > 0 && q.pickTakeable(c) != nil && !(c.set.needsSlot() && q.hasSpareWorker(c.set))
}

// maxClaims bounds the tasks that are being taken back for the tasks of one set queue.
const maxClaims = 64

// TakeBack calls back for a waiting task and the worker that holds a task of the lowest priority
// below it which can be taken back, see [Load].Lowest. It returns whether it took one.
type TakeBack func(waiting *Task, w *Worker, claim Claim) bool

// claim has tasks of lower priorities taken back for the tasks of a set queue that found no
// worker, one for each of them.
func (q *Index) claim(c *setQueue, back TakeBack) {
	for q.canClaim(c) && c.claims < maxClaims && c.hasMoreThan(int(c.claims)) {
		if !back(c.first(), q.pickTakeable(c), Claim{c}) {
			return
		}
		c.claims++
		q.UpdateHeaps()
	}
}

// hasSpareWorker reports whether a worker of the set holds nothing beyond its slots: its next
// free slot is for the set.
func (q *Index) hasSpareWorker(s *requirementSet) bool {
	var w *Worker
	switch {
	case s.boundTo != "":
		w = q.workers[s.boundTo]
	case s.free.Len() > 0:
		w = s.free.Top().class.free.Top()
	}
	return w != nil && w.key.Used <= w.key.Slots
}

// hasMoreThan reports whether more than n tasks of the set queue may be placed now.
func (c *setQueue) hasMoreThan(n int) bool {
	for _, l := range c.heads.Items {
		if n -= l.tasks.Len(); n < 0 {
			return true
		}
	}
	return false
}

// pickTakeable returns the worker of the set queue's set that holds a task of the lowest
// priority which can be taken back, nil without one below that of the queue.
func (q *Index) pickTakeable(c *setQueue) *Worker {
	var best *Worker
	consider := func(w *Worker) {
		if w.key.Lowest < c.priority && (best == nil || lessTakeable(w, best)) {
			best = w
		}
	}
	if id := c.set.boundTo; id != "" {
		if w := q.workers[id]; w != nil && w.inTakeable > 0 {
			consider(w)
		}
		return best
	}
	for _, m := range c.set.matches {
		if len(c.set.excluded) == 0 && m.class.takeable.Len() > 0 {
			consider(m.class.takeable.Top())
		}
	}
	return best
}

// lessTakeable is the order of the workers from which tasks are taken back: the lowest priority,
// then the most beyond their slots.
func lessTakeable(a, b *Worker) bool {
	if a.key.Lowest != b.key.Lowest {
		return a.key.Lowest < b.key.Lowest
	}
	if x, y := a.key.Used-a.key.Slots, b.key.Used-b.key.Slots; x != y {
		return x > y
	}
	return a.ID < b.ID
}

// updateTakeable moves a worker to its place among those from which a task can be taken back.
func (q *Index) updateTakeable(w *Worker, is bool) {
	q.takeable -= int(min(w.inTakeable, 1))
	if is {
		w.class.takeable.Fix(w)
	} else {
		w.class.takeable.Remove(w)
	}
	q.takeable += int(min(w.inTakeable, 1))
}

// HasIdleSlot reports whether a worker has a free slot for some live task. It costs a step a
// worker class.
func (q *Index) HasIdleSlot() bool {
	return slices.ContainsFunc(q.sortedClasses, func(class *workerClass) bool {
		return len(class.matches) > 0 && class.free.Len() > 0 && !class.free.Top().isFull()
	})
}

// IsWanted reports whether a worker with a free slot may take the task, which another holds.
func (q *Index) IsWanted(t *Task) bool {
	s := t.queue.group.set
	return s.boundTo == "" && q.pickFree(s) != nil
}

// Precedes reports whether a waiting task goes before another one, as [Index.Place] orders
// them, with a higher priority than the other has.
func (q *Index) Precedes(t, u *Task) bool {
	if q.cfg.Ageing <= 0 || t.Priority() <= u.Priority() {
		return t.Priority() > u.Priority()
	}
	return q.ageOf(t, t.Priority()) < q.ageOf(u, u.Priority())
}

// ageOf is the key by which ageing orders tasks.
func (q *Index) ageOf(t *Task, p model.Priority) model.Time {
	return t.Created.Add(-q.cfg.Ageing * model.Duration(int(p)-1))
}
