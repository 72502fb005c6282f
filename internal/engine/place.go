package engine

import (
	"slices"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// placeAll assigns pending tasks, the first in order first, until no task or no
// slot is left for them; it reports whether it stopped at its bound instead. A
// set that nobody can serve does not hold up the others.
func (e *Engine) placeAll() (more bool) {
	if !e.connected {
		return false // nobody would hear of it
	}
	e.updateHeaps()
	q := &e.queue
	parked := 0
	for placed := 0; placed < maxPlacements && parked < maxParked; {
		c := q.next(e.cfg.Ageing)
		if c == nil {
			return false
		}
		w := e.pick(c.set)
		if w == nil {
			q.bands[c.band()].ready.remove(c) // until a worker of its becomes free
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
		b := &q.bands[c.band()]
		b.turn = max(b.turn, t.vt)
		e.assign(w, t)
		e.updateHeaps()
		placed++
	}
	return true
}

// pick returns the best worker with a free slot that may take the set's tasks, nil
// if there is none.
func (e *Engine) pick(s *set) *worker {
	if s.boundTo != "" {
		if w := e.workers[s.boundTo]; w != nil && w.inFree > 0 {
			return w
		}
		return nil
	}
	if s.free.len() == 0 {
		return nil
	}
	if len(s.avoid) == 0 {
		return s.free.top().shape.free.top()
	}
	avoided := func(w *worker) bool { return slices.Contains(s.avoid, w.ID) }
	var best *worker
	edge, ok := s.free.best(func(ed *edge) bool {
		_, ok := ed.shape.free.best(avoided)
		return !ok
	})
	if ok {
		best, _ = edge.shape.free.best(avoided)
	}
	return best
}

// assign gives a pending task, taken from the queue, to a worker under a new
// attempt.
func (e *Engine) assign(w *worker, t *task) {
	t.attempt = t.named() + 1
	if x := t.extra; x != nil {
		x.retryAt, x.notBefore, x.due, x.asked = 0, 0, 0, false
		if x.deadline = 0; x.timeout > 0 {
			x.deadline = e.alive.Add(x.timeout)
		}
	}
	e.serve(w)
	e.beginTrial(t)
	e.hold(w, t)
	e.awaitListing(t)
	e.change(t, model.SetStatus|model.SetWorker|model.SetAttempt|model.SetRetryAt, model.TaskState{
		Status: model.StatusQueued, WorkerID: w.ID, Attempt: t.attempt, AssignedAt: e.now,
	})
	e.turn.plan.Assign = append(e.turn.plan.Assign, e.assignment(t))
}

func (e *Engine) assignment(t *task) Assign {
	a := Assign{Worker: t.run.worker.ID, Task: t.id, Attempt: t.attempt}
	if deadline := t.more().deadline; deadline > 0 {
		a.TimeoutLeft = max(deadline.Sub(e.alive), model.Seconds(0.001))
	}
	return a
}

// servable reports whether some worker takes the set's tasks, now or when it has
// a slot; besides those that it avoids, another one may be left out.
func (e *Engine) servable(s *set, besides string) bool {
	if s.boundTo != "" {
		w := e.workers[s.boundTo]
		return w != nil && w.mayAccept() && w.ID != besides
	}
	n := s.accepting
	for _, id := range s.avoid {
		n -= e.acceptingIn(s, id)
	}
	if !slices.Contains(s.avoid, besides) {
		n -= e.acceptingIn(s, besides)
	}
	return n > 0
}

// acceptingIn is 1 if the worker can serve the set and takes new work, else 0.
func (e *Engine) acceptingIn(s *set, id string) int {
	if w := e.workers[id]; w != nil && w.counted && e.queue.lacks(&s.need, &w.shape.caps, w.shape.room) == "" {
		return 1
	}
	return 0
}

// demandRoom has the workers grouped by whether they have so much free disk, from
// the first task on that asks for it. There are few different sizes, see roomFor,
// so this is rare.
func (e *Engine) demandRoom(size int64) {
	q := &e.queue
	i, known := slices.BinarySearch(q.rooms, size)
	if size == 0 || known {
		return
	}
	q.rooms = slices.Insert(q.rooms, i, size)
	for _, w := range e.workersByName() {
		if w.shape != nil && w.shape.room != q.roomOf(w) {
			e.regroup(w)
		}
	}
}

// roomOf is the largest of the sizes that are asked for that the worker has free.
// One that does not say has all.
func (q *queue) roomOf(w *worker) int64 {
	free := w.HealthMetrics.DiskFree
	if len(q.rooms) == 0 || free <= 0 {
		return roomless
	}
	i, exact := slices.BinarySearch(q.rooms, free)
	if exact {
		return free
	}
	if i == 0 {
		return 0
	}
	return q.rooms[i-1]
}
