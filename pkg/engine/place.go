package engine

import (
	"maps"
	"slices"
	"strings"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// need is what a worker must have to get a task.
type need struct {
	scheme string
	folder string
	tags   map[string]string
}

func needsOf(s *model.TaskSpec) need {
	return need{scheme: s.Scheme(), folder: s.Folder, tags: s.Tags}
}

// key names the need, so that equal ones share a queue.
func (n *need) key() string {
	if n.folder == "" && len(n.tags) == 0 {
		return n.scheme
	}
	var b strings.Builder
	b.WriteString(n.scheme + "\x00" + n.folder)
	for _, name := range slices.Sorted(maps.Keys(n.tags)) {
		b.WriteString("\x00" + name + "\x01" + n.tags[name])
	}
	return b.String()
}

// missing says what the capabilities lack for the need, "" if nothing.
func (n *need) missing(c *model.Capabilities) string {
	for _, name := range slices.Sorted(maps.Keys(n.tags)) {
		if c.Tags[name] != n.tags[name] {
			return name + "=" + n.tags[name]
		}
	}
	if n.folder != "" && !slices.Contains(c.Folders, n.folder) {
		return "the folder " + n.folder
	}
	speaks := slices.Contains(c.Protocols, n.scheme)
	switch n.scheme {
	case "bt":
		speaks = c.SupportsBT
	case "metalink":
		speaks = c.SupportsMetalink
	default:
		speaks = speaks || len(c.Protocols) == 0 // one that names none speaks what everybody speaks
	}
	if !speaks {
		return "support for " + n.scheme
	}
	return ""
}

// requirement is a queue of the tasks that need the same.
type requirement struct {
	key     string
	need    need
	avoid   []string // workers that are passed over, sorted
	tasks   int      // live tasks that need this, waiting or not
	pending heap[*task]
	shapes  []*shape // those that have all of it, in any order
	inReady int32
}

// shape is the workers that can do the same.
type shape struct {
	key       string
	caps      model.Capabilities
	workers   int
	accepting int            // of them, those that take new work when they have a slot
	free      heap[*worker]  // of these, the ones that have a slot, least loaded first
	serves    []*requirement // those that it has all of, in any order
}

// queue is the pending tasks that may be placed, and the workers that may take
// them.
type queue struct {
	sets   map[string]*requirement
	shapes map[string]*shape
	order  []*shape // the shapes by key
	// ready has the sets with a pending task, by the first one, but for those that
	// were found to have no free worker and for which none has become free since.
	ready heap[*requirement]
	plain int // sets without an excluded worker
}

func newQueue() queue {
	return queue{
		sets:   make(map[string]*requirement),
		shapes: make(map[string]*shape),
		ready: heap[*requirement]{
			less:  func(a, b *requirement) bool { return a.pending.top().before(b.pending.top()) },
			place: func(r *requirement) *int32 { return &r.inReady },
		},
	}
}

// enter counts a task into its requirement set, which is made if it is new.
func (q *queue) enter(n need, avoid []string) *requirement {
	key := n.key()
	if len(avoid) > 0 {
		key += "\x02" + strings.Join(avoid, "\x02")
	}
	r := q.sets[key]
	if r == nil {
		r = &requirement{key: key, need: n, avoid: avoid, pending: heap[*task]{
			less:  (*task).before,
			place: func(t *task) *int32 { return &t.inQueue },
		}}
		for _, s := range q.order {
			q.match(r, s)
		}
		q.sets[key] = r
		if len(avoid) == 0 {
			q.plain++
		}
	}
	r.tasks++
	return r
}

func (q *queue) match(r *requirement, s *shape) {
	if r.need.missing(&s.caps) == "" {
		r.shapes = append(r.shapes, s)
		s.serves = append(s.serves, r)
	}
}

// leave counts a task out; a set that nobody needs is forgotten.
func (q *queue) leave(r *requirement) {
	if r.tasks--; r.tasks > 0 {
		return
	}
	delete(q.sets, r.key)
	for _, s := range r.shapes {
		s.serves = remove(s.serves, r)
	}
	if len(r.avoid) == 0 {
		q.plain--
	}
}

// remove takes one item out of an unordered list.
func remove[T comparable](list []T, item T) []T {
	i := slices.Index(list, item)
	last := len(list) - 1
	list[i] = list[last]
	return slices.Delete(list, last, last+1)
}

func (q *queue) push(t *task) {
	t.req.pending.fix(t)
	q.ready.fix(t.req)
}

func (q *queue) remove(t *task) {
	if t.inQueue == 0 {
		return
	}
	r := t.req
	if r.pending.len() == 1 {
		q.ready.remove(r) // before it is empty, for the order looks at the first task
		r.pending.remove(t)
		return
	}
	r.pending.remove(t)
	if r.inReady > 0 {
		q.ready.fix(r)
	}
}

// freed makes the sets ready that wait for a worker of this shape.
func (q *queue) freed(s *shape) {
	for _, r := range s.serves {
		if r.pending.len() > 0 && r.inReady == 0 {
			q.ready.fix(r)
		}
	}
}

// shapeOf returns the shape of the capabilities, made if it is new.
func (q *queue) shapeOf(c *model.Capabilities, key string) *shape {
	s := q.shapes[key]
	if s == nil {
		s = &shape{key: key, caps: *c, free: heap[*worker]{
			less:  (*worker).lessLoaded,
			place: func(w *worker) *int32 { return &w.inFree },
		}}
		q.shapes[key] = s
		i, _ := slices.BinarySearchFunc(q.order, key, func(s *shape, key string) int { return strings.Compare(s.key, key) })
		q.order = slices.Insert(q.order, i, s)
		for _, r := range q.sets { // in any order: what is matched is a set
			q.match(r, s)
		}
	}
	return s
}

// forget drops a shape that no worker has.
func (q *queue) forget(s *shape) {
	delete(q.shapes, s.key)
	q.order = slices.DeleteFunc(q.order, func(o *shape) bool { return o == s })
	for _, r := range s.serves {
		r.shapes = remove(r.shapes, s)
	}
}

func shapeKey(c *model.Capabilities) string {
	var b strings.Builder
	for _, list := range [][]string{slices.Sorted(slices.Values(c.Protocols)), slices.Sorted(slices.Values(c.Folders))} {
		b.WriteString(strings.Join(list, "\x01") + "\x00")
	}
	for _, name := range slices.Sorted(maps.Keys(c.Tags)) {
		b.WriteString(name + "\x01" + c.Tags[name] + "\x00")
	}
	if c.SupportsBT {
		b.WriteString("bt\x00")
	}
	if c.SupportsMetalink {
		b.WriteString("metalink")
	}
	return b.String()
}

// pick returns the least loaded worker with a free slot that may take the set's
// tasks, nil if there is none.
func (r *requirement) pick() *worker {
	var best *worker
	for _, s := range r.shapes {
		if s.free.len() == 0 {
			continue
		}
		w := s.free.top()
		if len(r.avoid) > 0 {
			other, ok := s.free.best(func(w *worker) bool { return slices.Contains(r.avoid, w.ID) })
			if !ok {
				continue
			}
			w = other
		}
		if best == nil || w.lessLoaded(best) {
			best = w
		}
	}
	return best
}

// servable reports whether some worker takes the set's tasks, now or when it has
// a slot; besides those that it avoids, another one may be left out.
func (e *Engine) servable(r *requirement, besides string) bool {
	for _, s := range r.shapes {
		n := s.accepting
		for _, id := range r.avoid {
			n -= e.acceptingIn(s, id)
		}
		if !slices.Contains(r.avoid, besides) {
			n -= e.acceptingIn(s, besides)
		}
		if n > 0 {
			return true
		}
	}
	return false
}

// acceptingIn is 1 if the worker is of the shape and takes new work, else 0.
func (e *Engine) acceptingIn(s *shape, id string) int {
	if w := e.workers[id]; w != nil && w.shape == s && w.accepts() {
		return 1
	}
	return 0
}

// placeAll assigns pending tasks, the first in order first, until no task or no
// slot is left for them; it reports whether it stopped at its bound instead. A
// set that nobody can serve does not hold up the others.
func (e *Engine) placeAll() (more bool) {
	if !e.connected {
		return false // nobody would hear of it
	}
	for placed := 0; e.queue.ready.len() > 0; placed++ {
		if placed == maxPlacements {
			return true
		}
		r := e.queue.ready.top()
		w := r.pick()
		if w == nil {
			e.queue.ready.remove(r) // until a worker of its becomes free
			continue
		}
		t := r.pending.top()
		e.queue.remove(t)
		e.assign(w, t)
	}
	return false
}

// assign gives a pending task, taken from the queue, to a worker under a new
// attempt.
func (e *Engine) assign(w *worker, t *task) {
	t.named++
	t.attempt = t.named
	t.retryAt, t.notBefore, t.deadline = 0, 0, 0
	if t.timeout > 0 {
		t.deadline = e.alive.Add(t.timeout)
	}
	e.hold(w, t)
	e.awaitListing(t)
	e.change(t, model.SetStatus|model.SetWorker|model.SetAttempt|model.SetRetryAt, model.TaskState{
		Status: model.StatusQueued, WorkerID: w.ID, Attempt: t.attempt, AssignedAt: e.now,
	})
	e.turn.plan.Assign = append(e.turn.plan.Assign, e.assignment(t))
}

func (e *Engine) assignment(t *task) Assign {
	a := Assign{Worker: t.run.worker.ID, Task: t.id, Attempt: t.attempt}
	if t.deadline > 0 {
		a.TimeoutLeft = max(t.deadline.Sub(e.alive), model.Seconds(0.001))
	}
	return a
}
