package placement

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"github.com/aria-cluster/dispatcher/internal/engine/heap"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// Config is what the order of placing depends on.
type Config struct {
	Strategy Strategy       // "" is StrategyLeastLoaded
	Ageing   model.Duration // a wait that counts as one priority more; 0 = priorities are strict
	PerHost  int            // tasks at once against one host; 0 = no limit
	Hosts    map[string]int // the same for single hosts, by [model.NormalizeHost]; they go before PerHost

	// IsOffline and Describe say of a worker whether it is offline, and in words why it takes
	// nothing new. Reasons name such workers.
	IsOffline func(worker string) bool
	Describe  func(worker string) string
}

// Index is the pending tasks that may be placed, and the workers that may take
// them. In it
//
//   - a task is in a host queue: of its set, its priority, and its host where that has a
//     limit;
//   - a set queue has its host queues whose host is not full, a priority level its set
//     queues that may find a free worker, each by the first task;
//   - a worker class has its workers with a free slot, then those that take tasks beyond their
//     slots, a set its worker classes with such workers, each by the strategy.
//
// So the first task and the best worker for it are found in the depth of a few
// heaps. What changes at a worker costs as many steps as there are sets that its
// worker class serves, and a host that becomes full as many as it has host queues.
type Index struct {
	cfg           Config
	sets          map[string]*requirementSet
	hostQueues    map[hostQueueKey]*hostQueue
	classes       map[string]*workerClass
	sortedClasses []*workerClass // the worker classes by key
	levels        [priorities]priorityLevel
	hosts         hosts
	workers       map[string]*Worker
	sortedWorkers []*Worker // the workers by name
	clients       map[string]*Client
	bound         map[string][]*requirementSet // by worker: sets of tasks that wait for it alone

	lessWorker       func(a, b *Worker) bool // the strategy
	ranksTags        bool                    // and whether tags only rank
	plainSets        int                     // sets that a submit has made: without disk, excluded workers and boundTo
	diskTiers        []int64                 // sizes of free disk that sets have asked for, in order
	capabilityCounts map[string]int          // by capability: workers that take new work and have it
	accepting        int                     // workers that take new work when they have a slot
	changes          int64                   // of what workers can do; reasons are remembered between them
	unavailable      map[string]string       // by capability: the worker that findUnavailable returns
	unavailableFor   int64                   // changes that unavailable is of
	parked           int                     // tasks whose host is full or cools down

	takeable int // workers from which a task can be taken back

	due       heap.Heap[*Task] // pending tasks that may not be placed before a time
	scheduled int              // of these, those that their clients want later
	outdated  int              // of these, those whose time was computed before the wall clock was set back
	// Where Reschedule continues to look for them, and how often the clock was set back.
	rescheduled int
	clockSteps  uint32
	waiting     [priorities]waitList
	cooling     heap.Heap[*cooldown] // those that are not over, by the end of their phase
	cooldowns   int                  // all

	assignments   int64     // assignments since the start
	lastRandomKey float64   // the last random key that won, see drawRandomKey
	heapDirty     []*Worker // workers that may have another place in the heaps since the last update
}

// priorities is how many there are, from 1 on.
const priorities = int(model.PriorityUrgent)

// priorityLevel is one priority.
type priorityLevel struct {
	turn int64 // of the last task that was placed, see Client
	// ready has the set queues that have a task, except for those that were found to
	// have no free worker and for which none has become free since.
	ready heap.Heap[*setQueue]
}

type hostQueueKey struct {
	group *setQueue
	host  *Host
	cool  *cooldown
}

// key is where a task belongs.
type key struct {
	requirements Requirements
	excluded     []string
	boundTo      string
	host         *Host
	priority     model.Priority
	cool         *cooldown // nil, except for a task that was kept from its host
}

// cools reports whether the tasks of the key have a set of their own, see requirementSet.cools.
func (h *key) cools() bool { return h.cool != nil && h.boundTo == "" }

// New returns an index without tasks and workers.
func New(c Config) *Index {
	q := &Index{
		cfg:              c,
		sets:             make(map[string]*requirementSet),
		hostQueues:       make(map[hostQueueKey]*hostQueue),
		classes:          make(map[string]*workerClass),
		capabilityCounts: make(map[string]int),
		hosts:            hosts{perHost: c.PerHost, limits: c.Hosts, byName: make(map[string]*Host)},
		workers:          make(map[string]*Worker),
		clients:          make(map[string]*Client),
		bound:            make(map[string][]*requirementSet),
		unavailableFor:   -1,
		lessWorker:       workerOrder(c.Strategy), ranksTags: c.Strategy == StrategyTags,
	}
	for i := range q.levels {
		q.levels[i].ready = heap.Heap[*setQueue]{
			Less:  func(a, b *setQueue) bool { return a.first().precedes(b.first()) },
			Place: func(c *setQueue) *int32 { return &c.inReady },
		}
	}
	q.due = heap.Heap[*Task]{
		Less: func(a, b *Task) bool {
			return a.deferral.due < b.deferral.due || a.deferral.due == b.deferral.due && a.Seq < b.Seq
		},
		Place: func(t *Task) *int32 { return &t.deferral.inDue },
	}
	q.cooling = heap.Heap[*cooldown]{
		Less: func(a, b *cooldown) bool {
			return cmp.Or(cmp.Compare(a.until, b.until), strings.Compare(a.client.Name, b.client.Name), cmp.Compare(a.site, b.site)) < 0
		},
		Place: func(c *cooldown) *int32 { return &c.inCool },
	}
	return q
}

// name names the set of a key.
func (h *key) name() string {
	name := h.requirements.key()
	if h.requirements.disk == 0 && len(h.excluded) == 0 && h.boundTo == "" && h.cool == nil {
		return name
	}
	var b strings.Builder
	if h.cools() {
		b.WriteString("\x04")
	}
	b.WriteString(name + "\x02" + h.boundTo + "\x02" + strconv.FormatInt(h.requirements.disk, 10))
	for _, name := range h.excluded {
		b.WriteString("\x02" + name)
	}
	return b.String()
}

// isPlain reports whether the set is one that a submit makes.
func (s *requirementSet) isPlain() bool {
	return s.requirements.disk == 0 && len(s.excluded) == 0 && s.boundTo == "" && !s.cools
}

// requirementSetOf returns the set of a key, made if it is new.
func (q *Index) requirementSetOf(h *key) *requirementSet {
	name := h.name()
	s := q.sets[name]
	if s == nil {
		q.addDiskTier(h.requirements.disk)
		s = q.newSet(name, h)
		q.sets[name] = s
		if s.isPlain() {
			q.plainSets++
		}
		if s.boundTo != "" {
			q.bound[s.boundTo] = append(q.bound[s.boundTo], s)
		}
	}
	return s
}

// joinQueue makes the task belong to a key.
func (q *Index) joinQueue(t *Task, h *key) {
	s := q.requirementSetOf(h)
	key := hostQueueKey{&s.byPriority[h.priority-1], h.host, h.cool}
	l := q.hostQueues[key]
	if l == nil {
		l = &hostQueue{group: key.group, host: key.host, cool: key.cool, tasks: heap.Heap[*Task]{
			Less:  (*Task).precedes,
			Place: func(t *Task) *int32 { return &t.inQueue },
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

// leaveQueue ends that, for a task that is in no queue. Host queues and sets without tasks
// are removed.
func (q *Index) leaveQueue(l *hostQueue) {
	s := l.group.set
	if l.live--; l.live == 0 {
		q.removeHostQueue(l)
	}
	if s.live--; s.live > 0 {
		return
	}
	delete(q.sets, s.name)
	for len(s.matches) > 0 {
		q.removeMatch(s.matches[len(s.matches)-1])
	}
	if s.isPlain() {
		q.plainSets--
	}
	if s.boundTo != "" {
		others := slices.DeleteFunc(q.bound[s.boundTo], func(o *requirementSet) bool { return o == s })
		if q.bound[s.boundTo] = others; len(others) == 0 {
			delete(q.bound, s.boundTo)
		}
	}
}

func (q *Index) removeHostQueue(l *hostQueue) {
	delete(q.hostQueues, hostQueueKey{l.group, l.host, l.cool})
	if c := l.cool; c != nil {
		c.queues = removeAt(c.queues, l.inCool, func(l *hostQueue) *int32 { return &l.inCool })
		q.tidyCool(c)
	}
	if h := l.host; h != nil {
		h.queues = removeAt(h.queues, l.inHost, func(l *hostQueue) *int32 { return &l.inHost })
		q.hosts.removeIdle(h)
	}
	s := l.group.set
	s.boundQueues = slices.DeleteFunc(s.boundQueues, func(o *hostQueue) bool { return o == l })
}

// removeAt removes the item at an index from a list without an order. at is where an item
// keeps its index.
func removeAt[T any](list []*T, i int32, at func(*T) *int32) []*T {
	last := list[len(list)-1]
	list[i], *at(last) = last, i
	list[len(list)-1] = nil
	return list[:len(list)-1]
}

// push queues a task.
func (q *Index) push(t *Task) {
	l := t.queue
	l.tasks.Fix(t)
	l.group.set.waiting++
	if l.isParked() {
		l.group.set.parked++
		q.parked++
		return
	}
	q.promoteQueue(l)
}

// remove removes a task from its queue if it is in.
func (q *Index) remove(t *Task) {
	if t.inQueue == 0 {
		return
	}
	l := t.queue
	l.group.set.waiting--
	if l.isParked() {
		l.group.set.parked--
		q.parked--
		l.tasks.Remove(t)
		return
	}
	if l.tasks.Len() == 1 { // out of the upper heaps before it is empty, for they look at the first task
		q.demoteQueue(l)
		l.tasks.Remove(t)
		return
	}
	l.tasks.Remove(t)
	q.promoteQueue(l)
}

// promoteQueue moves a host queue with a task to its place in its set queue, and that to its own.
func (q *Index) promoteQueue(l *hostQueue) {
	c := l.group
	isFirst := c.heads.Len() == 0
	c.heads.Fix(l)
	if isFirst {
		q.reserveSlots(c, 1)
	}
	if c.inReady > 0 || c.set.free.Len() > 0 || c.set.boundTo != "" || q.canClaim(c) {
		q.levels[c.level()].ready.Fix(c)
	}
}

// demoteQueue removes a host queue from its set queue.
func (q *Index) demoteQueue(l *hostQueue) {
	c := l.group
	if c.heads.Len() == 1 {
		q.levels[c.level()].ready.Remove(c)
		c.heads.Remove(l)
		q.reserveSlots(c, -1)
		return
	}
	c.heads.Remove(l)
	if c.inReady > 0 {
		q.levels[c.level()].ready.Fix(c)
	}
}

// parkQueue removes a host queue from its set queue because its host is full or cools down.
func (q *Index) parkQueue(l *hostQueue) {
	if n := l.tasks.Len(); n > 0 {
		q.demoteQueue(l)
		l.group.set.parked += n
		q.parked += n
	}
}

// unparkQueue puts a parked host queue back into its set queue.
func (q *Index) unparkQueue(l *hostQueue) {
	if n := l.tasks.Len(); n > 0 {
		l.group.set.parked -= n
		q.parked -= n
		q.promoteQueue(l)
	}
}

// markReady makes the set queues ready that have tasks.
func (q *Index) markReady(s *requirementSet) {
	for i := range s.byPriority {
		if c := &s.byPriority[i]; c.heads.Len() > 0 && c.inReady == 0 {
			q.levels[i].ready.Fix(c)
		}
	}
}

// next returns the set queue with the task that is placed next, or nil. Without ageing it
// is in the highest priority; with it, a task that has waited for the ageing time counts as
// one priority higher: the order is by the time of the submit less priority × ageing, which
// does not change while it waits.
func (q *Index) next() *setQueue {
	var best *setQueue
	var bestAge model.Time
	ageing := q.cfg.Ageing
	for i := len(q.levels) - 1; i >= 0; i-- {
		if q.levels[i].ready.Len() == 0 {
			continue
		}
		c := q.levels[i].ready.Top()
		if ageing <= 0 {
			return c
		}
		if age := q.ageOf(c.first(), c.priority); best == nil || age < bestAge {
			best, bestAge = c, age
		}
	}
	return best
}
