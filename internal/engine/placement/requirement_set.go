package placement

import (
	"slices"
	"strings"

	"github.com/aria-cluster/dispatcher/internal/engine/heap"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// requirementSet is the tasks that the same workers can take.
type requirementSet struct {
	name         string // see key.name
	requirements Requirements
	excluded     []string // workers that are passed over, sorted
	boundTo      string   // the only worker that may have them, "" = any
	cools        bool     // they have waited for a cool-down: one of them tries its host, in a free slot
	live         int      // tasks that belong here, waiting or not
	waiting      int      // of them, those that wait to be placed now
	parked       int      // of these, those whose host is full or cools down

	matches     []*match          // to the worker classes that have all of it; none if boundTo is set
	free        heap.Heap[*match] // of these, where a worker takes tasks, the best first
	accepting   int               // workers of these worker classes that take new work when they have a slot
	byPriority  [priorities]setQueue
	boundQueues []*hostQueue // of all priorities, if boundTo is set: then every task in them waits

	reason    string // why it waits while no worker can take it; valid while Index.changes is
	reasonFor int64  // Index.changes
}

// setQueue is the tasks of one set and one priority.
type setQueue struct {
	set      *requirementSet
	priority model.Priority
	heads    heap.Heap[*hostQueue] // those with a task that are not parked, by the first task
	inReady  int32
	claims   int32 // tasks that are being taken back for its tasks
}

func (c *setQueue) level() int { return int(c.priority) - 1 }

// first is the task that is placed next; there must be one.
func (c *setQueue) first() *Task { return c.heads.Top().tasks.Top() }

// hostQueue is the tasks of one set queue that are for one host; those whose host has no
// limit share one. Tasks that a cool-down keeps from their host have queues of their own.
type hostQueue struct {
	group   *setQueue
	host    *Host
	cool    *cooldown
	live    int // tasks that belong here, waiting or not
	tasks   heap.Heap[*Task]
	inHeads int32
	inHost  int32 // index in host.queues
	inCool  int32 // index in cool.queues
}

// isParked reports whether no task of the queue may be placed.
func (l *hostQueue) isParked() bool { return l.host.IsFull() || l.cool.closed() }

// workerClass is the workers that can do the same.
type workerClass struct {
	key          string
	capabilities model.Capabilities
	disk         int64 // free bytes that each of them has at least; see Index.diskTiers
	workers      int
	accepting    int                // of them, those that take new work when they have a slot
	free         heap.Heap[*Worker] // of these, the ones that have a slot or take tasks ahead, by the strategy
	takeable     heap.Heap[*Worker] // those from which a task can be taken back, see lessTakeable
	reserved     reservations       // set queues that wait for a free slot of any of them
	matches      []*match           // to the sets that it has all of
}

// match joins a requirement set and a worker class that has all that the set requires.
type match struct {
	set     *requirementSet
	class   *workerClass
	inSet   int32 // index in set.matches
	inClass int32 // index in class.matches
	inFree  int32
	rank    int16 // tags that match, under the strategy tags
}

// newSet makes a set without tasks.
func (q *Index) newSet(name string, h *key) *requirementSet {
	s := &requirementSet{name: name, requirements: h.requirements, excluded: h.excluded, boundTo: h.boundTo, cools: h.cools(), reasonFor: -1}
	s.free = heap.Heap[*match]{Less: q.lessMatch, Place: func(e *match) *int32 { return &e.inFree }}
	for i := range s.byPriority {
		s.byPriority[i] = setQueue{set: s, priority: model.Priority(i + 1), heads: heap.Heap[*hostQueue]{
			Less:  func(a, b *hostQueue) bool { return a.tasks.Top().precedes(b.tasks.Top()) },
			Place: func(l *hostQueue) *int32 { return &l.inHeads },
		}}
	}
	if s.boundTo == "" {
		for _, sh := range q.sortedClasses {
			q.addMatch(s, sh)
		}
	}
	return s
}

// addMatch joins a set and a worker class if that has all that the set needs.
func (q *Index) addMatch(s *requirementSet, sh *workerClass) {
	if s.boundTo != "" || !q.meets(&s.requirements, &sh.capabilities, sh.disk) {
		return
	}
	e := &match{set: s, class: sh, inSet: int32(len(s.matches)), inClass: int32(len(sh.matches))}
	if q.ranksTags {
		e.rank = s.requirements.countTags(&sh.capabilities)
	}
	s.matches, sh.matches = append(s.matches, e), append(sh.matches, e)
	s.accepting += sh.accepting
	if sh.free.Len() > 0 {
		s.free.Fix(e)
	}
	q.reserveForMatch(e, 1)
}

// reserveForMatch counts the set queues of a match that wait for a free slot, in or out.
func (q *Index) reserveForMatch(e *match, n int32) {
	for i := range e.set.byPriority {
		if e.set.needsSlot() && e.set.byPriority[i].heads.Len() > 0 {
			if q.reserveClass(e.class, i, n) {
				q.markClassReady(e.class)
			}
		}
	}
}

// removeMatch separates a set and a worker class.
func (q *Index) removeMatch(e *match) {
	q.reserveForMatch(e, -1)
	e.set.free.Remove(e)
	e.set.accepting -= e.class.accepting
	e.set.matches = removeAt(e.set.matches, e.inSet, func(m *match) *int32 { return &m.inSet })
	e.class.matches = removeAt(e.class.matches, e.inClass, func(m *match) *int32 { return &m.inClass })
}

// lessMatch is the order of a set's worker classes with a worker that takes tasks: those with
// a free slot, then by tags that match, then by their best workers.
func (q *Index) lessMatch(a, b *match) bool {
	if x, y := a.class.free.Top().isFull(), b.class.free.Top().isFull(); x != y {
		return y
	}
	if a.rank != b.rank {
		return a.rank > b.rank
	}
	return q.lessWorker(a.class.free.Top(), b.class.free.Top())
}

// classOf returns the worker class of the capabilities, made if it is new.
func (q *Index) classOf(c *model.Capabilities, room int64) *workerClass {
	key := classKey(c, room)
	sh := q.classes[key]
	if sh == nil {
		sh = &workerClass{key: key, capabilities: *c, disk: room, free: heap.Heap[*Worker]{
			Less:  q.lessWorker,
			Place: func(w *Worker) *int32 { return &w.inFree },
		}}
		sh.takeable = heap.Heap[*Worker]{Less: lessTakeable, Place: func(w *Worker) *int32 { return &w.inTakeable }}
		q.classes[key] = sh
		i, _ := slices.BinarySearchFunc(q.sortedClasses, key, func(s *workerClass, key string) int { return strings.Compare(s.key, key) })
		q.sortedClasses = slices.Insert(q.sortedClasses, i, sh)
		for _, s := range q.sets { // in any order: what is matched is a set of matches, and heaps have their own order
			q.addMatch(s, sh)
		}
	}
	return sh
}

// removeClass drops a worker class that no worker has.
func (q *Index) removeClass(sh *workerClass) {
	for len(sh.matches) > 0 {
		q.removeMatch(sh.matches[len(sh.matches)-1])
	}
	delete(q.classes, sh.key)
	i, _ := slices.BinarySearchFunc(q.sortedClasses, sh.key, func(s *workerClass, key string) int { return strings.Compare(s.key, key) })
	q.sortedClasses = slices.Delete(q.sortedClasses, i, i+1)
}
