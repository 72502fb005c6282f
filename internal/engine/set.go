package engine

import (
	"slices"
	"strings"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// set is a requirement set: the tasks that the same workers can take.
type set struct {
	key     string
	need    need
	avoid   []string // workers that are passed over, sorted
	boundTo string   // the only worker that may have them, "" = any
	live    int      // tasks that belong here, waiting or not
	waiting int      // of them, those that wait to be placed now
	shut    int      // of these, those whose host is full or cools down

	edges     []*edge     // to the shapes that have all of it; none if boundTo is set
	free      heap[*edge] // of these, where a worker has a free slot, the best first
	accepting int         // workers of these shapes that take new work when they have a slot
	classes   [priorities]class
	lines     []*line // of all classes, if boundTo is set: then every task in them waits

	reason    string // why it waits while nobody can take it; of the time counted by
	reasonFor int64  // queue.changes
}

// class is the tasks of one set and one priority.
type class struct {
	set      *set
	priority model.Priority
	heads    heap[*line] // those with a task that are not shut, by the first task
	inReady  int32
}

func (c *class) band() int { return int(c.priority) - 1 }

// first is the task that goes first; there must be one.
func (c *class) first() *task { return c.heads.top().tasks.top() }

// line is the tasks of one class that are for one host; those whose host has no
// limit share one. Tasks that were kept from their host by a cool-down have lines of
// their own.
type line struct {
	class   *class
	host    *host
	cool    *cooldown
	live    int // tasks that belong here, waiting or not
	tasks   heap[*task]
	inHeads int32
	inHost  int32 // index in host.lines
	inCool  int32 // index in cool.lines
}

// shut reports whether no task of the line may be placed.
func (l *line) shut() bool { return l.host.full() || l.cool.closed() }

// shape is the workers that can do the same.
type shape struct {
	key       string
	caps      model.Capabilities
	room      int64 // free bytes that each of them has at least; see queue.rooms
	workers   int
	accepting int           // of them, those that take new work when they have a slot
	free      heap[*worker] // of these, the ones that have a slot, by the strategy
	edges     []*edge       // to the sets that it has all of
}

// edge says that a shape has all that a set needs.
type edge struct {
	set     *set
	shape   *shape
	inSet   int32 // index in set.edges
	inShape int32 // index in shape.edges
	inFree  int32
	rank    int16 // tags that match, under the strategy tags
}

// newSet makes a set that nobody belongs to yet.
func (q *queue) newSet(key string, h *home) *set {
	s := &set{key: key, need: h.need, avoid: h.avoid, boundTo: h.boundTo, reasonFor: -1}
	s.free = heap[*edge]{less: q.better, place: func(e *edge) *int32 { return &e.inFree }}
	for i := range s.classes {
		s.classes[i] = class{set: s, priority: model.Priority(i + 1), heads: heap[*line]{
			less:  func(a, b *line) bool { return a.tasks.top().before(b.tasks.top()) },
			place: func(l *line) *int32 { return &l.inHeads },
		}}
	}
	if s.boundTo == "" {
		for _, sh := range q.order {
			q.match(s, sh)
		}
	}
	return s
}

// match joins a set and a shape if that has all that the set needs.
func (q *queue) match(s *set, sh *shape) {
	if s.boundTo != "" || q.lacks(&s.need, &sh.caps, sh.room) != "" {
		return
	}
	e := &edge{set: s, shape: sh, inSet: int32(len(s.edges)), inShape: int32(len(sh.edges))}
	if q.ranksTags {
		e.rank = s.need.rank(&sh.caps)
	}
	s.edges, sh.edges = append(s.edges, e), append(sh.edges, e)
	s.accepting += sh.accepting
	if sh.free.len() > 0 {
		s.free.fix(e)
	}
}

// cut parts a set and a shape.
func (q *queue) cut(e *edge) {
	e.set.free.remove(e)
	e.set.accepting -= e.shape.accepting
	last := e.set.edges[len(e.set.edges)-1]
	e.set.edges[e.inSet], last.inSet = last, e.inSet
	e.set.edges[len(e.set.edges)-1] = nil
	e.set.edges = e.set.edges[:len(e.set.edges)-1]
	last = e.shape.edges[len(e.shape.edges)-1]
	e.shape.edges[e.inShape], last.inShape = last, e.inShape
	e.shape.edges[len(e.shape.edges)-1] = nil
	e.shape.edges = e.shape.edges[:len(e.shape.edges)-1]
}

// better is the order of a set's shapes with a free worker: by tags that match,
// then by their best workers.
func (q *queue) better(a, b *edge) bool {
	if a.rank != b.rank {
		return a.rank > b.rank
	}
	return q.prefer(a.shape.free.top(), b.shape.free.top())
}

// shapeOf returns the shape of the capabilities, made if it is new.
func (q *queue) shapeOf(c *model.Capabilities, room int64) *shape {
	key := shapeKey(c, room)
	sh := q.shapes[key]
	if sh == nil {
		sh = &shape{key: key, caps: *c, room: room, free: heap[*worker]{
			less:  q.prefer,
			place: func(w *worker) *int32 { return &w.inFree },
		}}
		q.shapes[key] = sh
		i, _ := slices.BinarySearchFunc(q.order, key, func(s *shape, key string) int { return strings.Compare(s.key, key) })
		q.order = slices.Insert(q.order, i, sh)
		for _, s := range q.sets { // in any order: what is matched is a set of edges, and heaps have their own order
			q.match(s, sh)
		}
	}
	return sh
}

// forget drops a shape that no worker has.
func (q *queue) forget(sh *shape) {
	for len(sh.edges) > 0 {
		q.cut(sh.edges[len(sh.edges)-1])
	}
	delete(q.shapes, sh.key)
	i, _ := slices.BinarySearchFunc(q.order, sh.key, func(s *shape, key string) int { return strings.Compare(s.key, key) })
	q.order = slices.Delete(q.order, i, i+1)
}
