package engine

import (
	"slices"
	"strconv"
	"strings"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// queue is the pending tasks that may be placed, and the workers that may take
// them. In it
//
//   - a task is in a host queue: of its set, its priority, and its host where that has a
//     limit;
//   - a class has its host queues whose host is not full, a priority level its classes that may
//     find a free worker, each by the first task;
//   - a worker class has its workers with a free slot, a set its worker classes with such workers,
//     each by the strategy.
//
// So the first task and the best worker for it are found in the depth of a few
// heaps. What changes at a worker costs as many steps as there are sets that its
// worker class serves, and a host that gets full as many as it has host queues.
type queue struct {
	sets          map[string]*requirementSet
	hostQueues    map[hostQueueKey]*hostQueue
	classes       map[string]*workerClass
	sortedClasses []*workerClass // the worker classes by key
	levels        [priorities]priorityLevel
	hosts         hosts

	lessWorker       func(a, b *worker) bool // the strategy
	ranksTags        bool                    // and whether tags only rank
	plainSets        int                     // sets that a submit has made: without disk, avoid and boundTo
	diskTiers        []int64                 // sizes of free disk that sets have asked for, in order
	capabilityCounts map[string]int          // by atom: workers that take new work and have it
	accepting        int                     // workers that take new work when they have a slot
	changes          int64                   // of what workers can do; reasons are remembered between them
	parked           int                     // tasks whose host is full or cools down
}

// priorityLevel is one priority.
type priorityLevel struct {
	turn int64 // of the last task that was placed, see client
	// ready has the classes that have a task, except for those that were found to
	// have no free worker and for which none has become free since.
	ready heap[*setQueue]
}

type hostQueueKey struct {
	group *setQueue
	host  *host
	cool  *cooldown
}

// placementKey is where a task belongs.
type placementKey struct {
	requirements requirements
	excluded     []string
	boundTo      string
	host         *host
	priority     model.Priority
	cool         *cooldown // nil, except for a task that was kept from its host
}

func newQueue(cfg *Config) queue {
	q := queue{
		sets:             make(map[string]*requirementSet),
		hostQueues:       make(map[hostQueueKey]*hostQueue),
		classes:          make(map[string]*workerClass),
		capabilityCounts: make(map[string]int),
		hosts:            hosts{perHost: cfg.PerHost, limits: cfg.Hosts, known: make(map[string]*host)},
		lessWorker:       workerOrder(cfg.Strategy), ranksTags: cfg.Strategy == StrategyTags,
	}
	for i := range q.levels {
		q.levels[i].ready = heap[*setQueue]{
			less:  func(a, b *setQueue) bool { return a.first().precedes(b.first()) },
			place: func(c *setQueue) *int32 { return &c.inReady },
		}
	}
	return q
}

// key names the set of a placement key.
func (h *placementKey) key() string {
	key := h.requirements.key()
	if h.requirements.disk == 0 && len(h.excluded) == 0 && h.boundTo == "" {
		return key
	}
	var b strings.Builder
	b.WriteString(key + "\x02" + h.boundTo + "\x02" + strconv.FormatInt(h.requirements.disk, 10))
	for _, name := range h.excluded {
		b.WriteString("\x02" + name)
	}
	return b.String()
}

// isPlain reports whether the set is one that a submit makes.
func (s *requirementSet) isPlain() bool {
	return s.requirements.disk == 0 && len(s.excluded) == 0 && s.boundTo == ""
}

// requirementSetOf returns the set of a placement key, made if it is new.
func (e *Engine) requirementSetOf(h *placementKey) *requirementSet {
	q := &e.queue
	key := h.key()
	s := q.sets[key]
	if s == nil {
		e.addDiskTier(h.requirements.disk)
		s = q.newSet(key, h)
		q.sets[key] = s
		if s.isPlain() {
			q.plainSets++
		}
		if s.boundTo != "" {
			e.bound[s.boundTo] = append(e.bound[s.boundTo], s)
		}
	}
	return s
}

// joinQueue makes the task belong to a placement key.
func (e *Engine) joinQueue(t *task, h *placementKey) {
	q := &e.queue
	s := e.requirementSetOf(h)
	key := hostQueueKey{&s.byPriority[h.priority-1], h.host, h.cool}
	l := q.hostQueues[key]
	if l == nil {
		l = &hostQueue{group: key.group, host: key.host, cool: key.cool, tasks: heap[*task]{
			less:  (*task).precedes,
			place: func(t *task) *int32 { return &t.inQueue },
		}}
		q.hostQueues[key] = l
		if h.host != nil {
			l.inHost = int32(len(h.host.queues))
			h.host.queues = append(h.host.queues, l)
		}
		if h.cool != nil {
			l.inCool = int32(len(h.cool.queues))
			h.cool.queues = append(h.cool.queues, l)
		}
		if s.boundTo != "" {
			s.boundQueues = append(s.boundQueues, l)
		}
	}
	s.live++
	l.live++
	t.queue = l
}

// leaveQueue is the reverse, for a task that is in no queue. Host queues and sets to
// which no task belongs are removed.
func (e *Engine) leaveQueue(l *hostQueue) {
	q := &e.queue
	s := l.group.set
	if l.live--; l.live == 0 {
		delete(q.hostQueues, hostQueueKey{l.group, l.host, l.cool})
		if c := l.cool; c != nil {
			last := c.queues[len(c.queues)-1]
			c.queues[l.inCool], last.inCool = last, l.inCool
			c.queues[len(c.queues)-1] = nil
			c.queues = c.queues[:len(c.queues)-1]
			e.tidyCool(c)
		}
		if h := l.host; h != nil {
			last := h.queues[len(h.queues)-1]
			h.queues[l.inHost], last.inHost = last, l.inHost
			h.queues[len(h.queues)-1] = nil
			h.queues = h.queues[:len(h.queues)-1]
			q.hosts.removeIdle(h)
		}
		s.boundQueues = slices.DeleteFunc(s.boundQueues, func(o *hostQueue) bool { return o == l })
	}
	if s.live--; s.live > 0 {
		return
	}
	delete(q.sets, s.key)
	for len(s.matches) > 0 {
		q.removeMatch(s.matches[len(s.matches)-1])
	}
	if s.isPlain() {
		q.plainSets--
	}
	if s.boundTo != "" {
		others := slices.DeleteFunc(e.bound[s.boundTo], func(o *requirementSet) bool { return o == s })
		if e.bound[s.boundTo] = others; len(others) == 0 {
			delete(e.bound, s.boundTo)
		}
	}
}

// attach makes a new task belong to a placement key and take its turn.
func (e *Engine) attach(t *task, h placementKey) {
	e.joinQueue(t, &h)
	e.takeTurn(t)
}

// detach is the reverse, when the task ends.
func (e *Engine) detach(t *task) {
	e.leaveTurn(t)
	e.leaveQueue(t.queue)
}

// move makes a task, which is in no queue, belong elsewhere; it keeps its turn
// within its priority.
func (e *Engine) move(t *task, h placementKey) {
	old := t.queue
	if h.priority == old.group.priority {
		e.joinQueue(t, &h)
	} else {
		e.leaveTurn(t)
		e.attach(t, h)
	}
	if t.run != nil && h.host != old.host {
		e.enterHost(h.host)
		e.leaveHost(old.host)
	}
	e.leaveQueue(old)
}

// push queues a task.
func (q *queue) push(t *task) {
	l := t.queue
	l.tasks.fix(t)
	l.group.set.waiting++
	if l.isParked() {
		l.group.set.parked++
		q.parked++
		return
	}
	q.promoteQueue(l)
}

// remove takes a task out of the queue if it is in.
func (q *queue) remove(t *task) {
	if t.inQueue == 0 {
		return
	}
	l := t.queue
	l.group.set.waiting--
	if l.isParked() {
		l.group.set.parked--
		q.parked--
		l.tasks.remove(t)
		return
	}
	if l.tasks.len() == 1 { // out of the upper heaps before it is empty, for they look at the first task
		q.demoteQueue(l)
		l.tasks.remove(t)
		return
	}
	l.tasks.remove(t)
	q.promoteQueue(l)
}

// promoteQueue brings a host queue with a task to its place in its class, and that to its own.
func (q *queue) promoteQueue(l *hostQueue) {
	c := l.group
	c.heads.fix(l)
	if c.inReady > 0 || c.set.free.len() > 0 || c.set.boundTo != "" {
		q.levels[c.level()].ready.fix(c)
	}
}

// demoteQueue takes a host queue out of its class.
func (q *queue) demoteQueue(l *hostQueue) {
	c := l.group
	if c.heads.len() == 1 {
		q.levels[c.level()].ready.remove(c)
		c.heads.remove(l)
		return
	}
	c.heads.remove(l)
	if c.inReady > 0 {
		q.levels[c.level()].ready.fix(c)
	}
}

// parkQueue takes a host queue out because its host is full; openLine is the reverse.
func (q *queue) parkQueue(l *hostQueue) {
	if n := l.tasks.len(); n > 0 {
		q.demoteQueue(l)
		l.group.set.parked += n
		q.parked += n
	}
}

func (q *queue) unparkQueue(l *hostQueue) {
	if n := l.tasks.len(); n > 0 {
		l.group.set.parked -= n
		q.parked -= n
		q.promoteQueue(l)
	}
}

// markReady makes the classes ready that have tasks.
func (q *queue) markReady(s *requirementSet) {
	for i := range s.byPriority {
		if c := &s.byPriority[i]; c.heads.len() > 0 && c.inReady == 0 {
			q.levels[i].ready.fix(c)
		}
	}
}

// updateFree brings a worker of a worker class to its place among those with a free slot, or
// takes it away from there.
func (q *queue) updateFree(w *worker, free bool) {
	sh := w.class
	var best *worker
	if sh.free.len() > 0 {
		best = sh.free.top()
	}
	isNew := w.inFree == 0
	if free {
		sh.free.fix(w)
	} else {
		sh.free.remove(w)
	}
	switch {
	case sh.free.len() == 0:
		if best != nil {
			for _, e := range sh.matches {
				e.set.free.remove(e)
			}
		}
	case sh.free.top() != best || w == best:
		for _, e := range sh.matches {
			e.set.free.fix(e)
		}
	}
	if free && isNew {
		for _, e := range sh.matches {
			q.markReady(e.set)
		}
	}
}

// next returns the set queue with the task that is placed next, or nil
// to try. Without ageing it is in the highest priority; with it, a task that has
// waited for the ageing time counts as one priority higher: the order is by the
// time of the submit less priority × ageing, which does not change while it waits.
func (q *queue) next(ageing model.Duration) *setQueue {
	var best *setQueue
	var bestAge model.Time
	for i := len(q.levels) - 1; i >= 0; i-- {
		if q.levels[i].ready.len() == 0 {
			continue
		}
		c := q.levels[i].ready.top()
		if ageing <= 0 {
			return c
		}
		if age := c.first().created.Add(-ageing * model.Duration(i)); best == nil || age < bestAge {
			best, bestAge = c, age
		}
	}
	return best
}
