package engine

// updateHeaps brings the workers that have changed to where their free slots can be
// taken, or takes them away from there. It runs once for each event, and once for each
// placement: a heap compares copies, so a worker may change before its place does.
func (e *Engine) updateHeaps() {
	for _, w := range e.heapDirty {
		w.isHeapDirty = false
		e.updateHeap(w)
	}
	e.heapDirty = e.heapDirty[:0]
}

func (e *Engine) updateHeap(w *worker) {
	if w.class == nil {
		return
	}
	isNew := w.free && w.inFree == 0
	w.key = workerKey{used: w.used(), slots: w.TotalSlots, health: w.Health, lastAssignment: w.lastAssignment, randomKey: w.randomKey}
	e.queue.updateFree(w, w.free)
	if isNew {
		for _, s := range e.bound[w.ID] {
			e.queue.markReady(s)
		}
	}
}

// indexWorker puts the worker among those that can do the same, and tells whether it
// takes new work. It is called whenever one of these has changed.
func (e *Engine) indexWorker(w *worker) {
	e.reclassify(w)
	if !w.mayAccept() {
		e.unbindTasks(w)
	}
}

// reclassify is indexWorker, except for the tasks that wait for this worker alone.
func (e *Engine) reclassify(w *worker) {
	e.unclassify(w)
	q := &e.queue
	w.class = q.classOf(&w.Capabilities, q.diskTier(w))
	w.class.workers++
	q.changes++
	if w.accepts() {
		q.countAccepting(w, 1)
	}
	e.markMoved(w)
}

// unclassify takes the worker out again.
func (e *Engine) unclassify(w *worker) {
	sh := w.class
	if sh == nil {
		return
	}
	e.queue.updateFree(w, false)
	w.free = false
	if w.isAccepting {
		e.queue.countAccepting(w, -1)
	}
	if sh.workers--; sh.workers == 0 {
		e.queue.removeClass(sh)
	}
	w.class = nil
}

// countAccepting counts a worker in or out of those that take new work.
func (q *queue) countAccepting(w *worker, n int) {
	w.isAccepting = n > 0
	q.accepting += n
	q.changes++
	w.class.accepting += n
	for _, e := range w.class.matches {
		e.set.accepting += n
	}
	for _, atom := range capabilitiesOf(&w.class.capabilities) {
		if q.capabilityCounts[atom] += n; q.capabilityCounts[atom] == 0 {
			delete(q.capabilityCounts, atom)
		}
	}
}
