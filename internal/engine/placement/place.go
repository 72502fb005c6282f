package placement

import "slices"

// Place assigns pending tasks, the first in order first, until no task or no worker is left
// for them; it reports whether it stopped at limit, or at the bound of the tasks that it
// parks, instead. A set that no worker can serve does not delay the others. A worker gets a
// task beyond its slots only if no worker with a free slot may have it.
//
// assign is called for each; it takes the task from its queue and tells the index the new
// load. back is called where no worker takes a task, to take one of a lower priority back.
func (q *Index) Place(limit int, assign func(*Task, *Worker), back TakeBack) (more bool) {
	q.UpdateHeaps()
	parked := 0
	for placed := 0; placed < limit && parked < maxParked; {
		c := q.next()
		if c == nil {
			return false
		}
		t := c.first()
		if q.returnFromCool(t) {
			parked++
			continue
		}
		w := q.pickWorker(c)
		if w == nil {
			q.levels[c.level()].ready.Remove(c) // until one of its workers takes tasks
			q.claim(c, back)
			continue
		}
		if cool := t.coolOf(); cool.closed() || cool.awaitsTrial() && w.isFull() {
			q.remove(t)
			q.park(t, cool)
			q.push(t)
			parked++
			continue
		}
		b := &q.levels[c.level()]
		b.turn = max(b.turn, t.vt)
		assign(t, w)
		q.UpdateHeaps()
		placed++
	}
	return true
}

// pickWorker returns the best worker that takes a task of the set queue, nil if none does.
func (q *Index) pickWorker(c *setQueue) *Worker {
	s := c.set
	if s.boundTo == "" {
		if w := q.pickFree(s); w != nil {
			return w
		}
		return q.pickAhead(c)
	}
	if w := q.workers[s.boundTo]; w != nil && w.HasSlot() {
		return w
	}
	return nil
}

// pickFree returns the best worker with a free slot that may take the tasks of a set that is
// bound to none, nil if none has one.
func (q *Index) pickFree(s *requirementSet) *Worker {
	if s.free.Len() == 0 || s.free.Top().class.free.Top().isFull() {
		return nil
	}
	if len(s.excluded) == 0 {
		return s.free.Top().class.free.Top()
	}
	// Workers with a free slot come first, in a class and of the classes: the first one that is
	// not excluded decides, and no full worker is looked at behind it.
	first, ok := s.free.Best(func(m *match) bool {
		return !m.class.free.Top().isFull() && s.bestFree(m.class) == nil
	})
	if !ok {
		return nil
	}
	return s.bestFree(first.class)
}

// bestFree returns the best worker of a class with a free slot that is not excluded, or nil.
func (s *requirementSet) bestFree(class *workerClass) *Worker {
	w, ok := class.free.Best(func(w *Worker) bool { return slices.Contains(s.excluded, w.ID) })
	if !ok || w.isFull() {
		return nil
	}
	return w
}

// CanServe reports whether some worker takes such tasks, now or when it has a slot, apart
// from the one named besides.
func (q *Index) CanServe(t *Task, besides string) bool { return q.canServe(t.queue.group.set, besides) }

// canServe reports whether some worker takes the tasks of a set that is bound to none.
func (q *Index) canServe(s *requirementSet, besides string) bool {
	n := s.accepting
	for _, id := range s.excluded {
		n -= q.countAcceptingWorker(s, id)
	}
	if !slices.Contains(s.excluded, besides) {
		n -= q.countAcceptingWorker(s, besides)
	}
	return n > 0
}

// countAcceptingWorker is 1 if the worker can serve the set and takes new work, else 0.
func (q *Index) countAcceptingWorker(s *requirementSet, id string) int {
	if w := q.workers[id]; w != nil && w.accepting && q.meets(&s.requirements, &w.class.capabilities, w.class.disk) {
		return 1
	}
	return 0
}

// addDiskTier has the workers grouped by whether they have so much free disk, from
// the first task on that asks for it. There are few different sizes, see diskDemand,
// so this is rare.
func (q *Index) addDiskTier(size int64) {
	i, found := slices.BinarySearch(q.diskTiers, size)
	if size == 0 || found {
		return
	}
	q.diskTiers = slices.Insert(q.diskTiers, i, size)
	for _, w := range q.sortedWorkers {
		if w.class != nil && w.class.disk != q.diskTier(w.diskFree) {
			q.reclassify(w)
		}
	}
}

// diskTier is the largest demanded size that is free. A worker that does not report its
// free disk has all.
func (q *Index) diskTier(free int64) int64 {
	if len(q.diskTiers) == 0 || free <= 0 {
		return diskAny
	}
	i, exact := slices.BinarySearch(q.diskTiers, free)
	if exact {
		return free
	}
	if i == 0 {
		return 0
	}
	return q.diskTiers[i-1]
}
