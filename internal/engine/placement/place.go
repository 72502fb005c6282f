package engine

import (
	"slices"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// placePending assigns pending tasks, the first in order first, until no task or no
// slot is left for them; it reports whether it stopped at its bound instead. A
// set that no worker can serve does not delay the others.
func (e *Engine) placePending() (more bool) {
	if !e.connected {
		return false // no worker would receive it
	}
	e.updateHeaps()
	q := &e.queue
	parked := 0
	for placed := 0; placed < maxPlacements && parked < maxParked; {
		c := q.next(e.cfg.Ageing)
		if c == nil {
			return false
		}
		w := e.pickWorker(c.set)
		if w == nil {
			q.levels[c.level()].ready.remove(c) // until one of its workers becomes free
			continue
		}
		t := c.first()
		if cool := t.coolOf(); cool.closed() {
			q.remove(t)
			e.park(t, cool)
			q.push(t)
			parked++
			continue
		}
		b := &q.levels[c.level()]
		b.turn = max(b.turn, t.vt)
		e.assign(w, t)
		e.updateHeaps()
		placed++
	}
	return true
}

// pickWorker returns the best worker with a free slot that may take the set's tasks, nil
// if none has one.
func (e *Engine) pickWorker(s *requirementSet) *worker {
	if s.boundTo != "" {
		if w := e.workers[s.boundTo]; w != nil && w.inFree > 0 {
			return w
		}
		return nil
	}
	if s.free.len() == 0 {
		return nil
	}
	if len(s.excluded) == 0 {
		return s.free.top().class.free.top()
	}
	avoided := func(w *worker) bool { return slices.Contains(s.excluded, w.ID) }
	var best *worker
	edge, ok := s.free.best(func(ed *match) bool {
		_, ok := ed.class.free.best(avoided)
		return !ok
	})
	if ok {
		best, _ = edge.class.free.best(avoided)
	}
	return best
}

// assign gives a pending task, taken from the queue, to a worker under a new
// attempt.
func (e *Engine) assign(w *worker, t *task) {
	e.countFirstAssignment(t)
	t.attempt = t.maxSeenAttempt() + 1
	if x := t.extra; x != nil {
		x.retryAt, x.notBefore, x.due, x.asked = 0, 0, 0, false
		if x.deadline = 0; x.timeout > 0 {
			x.deadline = e.alive.Add(x.timeout)
		}
	}
	e.recordAssignment(w)
	e.beginTrial(t)
	e.hold(w, t)
	t.run.isUnconfirmed = true
	e.requireListing(t)
	e.changeState(t, model.SetStatus|model.SetWorker|model.SetAttempt|model.SetRetryAt, model.TaskState{
		Status: model.StatusQueued, WorkerID: w.ID, Attempt: t.attempt, AssignedAt: e.now,
	})
	e.turn.plan.Assign = append(e.turn.plan.Assign, e.assignment(t))
}

func (e *Engine) assignment(t *task) Assign {
	a := Assign{Worker: t.run.worker.ID, Task: t.id, Attempt: t.attempt}
	if deadline := t.extraOrZero().deadline; deadline > 0 {
		a.TimeoutLeft = max(deadline.Sub(e.alive), model.Seconds(0.001))
	}
	return a
}

// canServe reports whether some worker takes the set's tasks, now or when it has
// a slot; besides those that it avoids, another one may be left out.
func (e *Engine) canServe(s *requirementSet, besides string) bool {
	if s.boundTo != "" {
		w := e.workers[s.boundTo]
		return w != nil && w.mayAccept() && w.ID != besides
	}
	n := s.accepting
	for _, id := range s.excluded {
		n -= e.countAcceptingWorker(s, id)
	}
	if !slices.Contains(s.excluded, besides) {
		n -= e.countAcceptingWorker(s, besides)
	}
	return n > 0
}

// countAcceptingWorker is 1 if the worker can serve the set and takes new work, else 0.
func (e *Engine) countAcceptingWorker(s *requirementSet, id string) int {
	if w := e.workers[id]; w != nil && w.isAccepting && e.queue.missingRequirement(&s.requirements, &w.class.capabilities, w.class.disk) == "" {
		return 1
	}
	return 0
}

// addDiskTier has the workers grouped by whether they have so much free disk, from
// the first task on that asks for it. There are few different sizes, see roomFor,
// so this is rare.
func (e *Engine) addDiskTier(size int64) {
	q := &e.queue
	i, known := slices.BinarySearch(q.diskTiers, size)
	if size == 0 || known {
		return
	}
	q.diskTiers = slices.Insert(q.diskTiers, i, size)
	for _, w := range e.workersByName() {
		if w.class != nil && w.class.disk != q.diskTier(w) {
			e.reclassify(w)
		}
	}
}

// diskTier is the largest of the sizes that are asked for that the worker has free.
// One that does not say has all.
func (q *queue) diskTier(w *worker) int64 {
	free := w.HealthMetrics.DiskFree
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
