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
//   - a task is in a line: of its set, its priority, and its host where that has a
//     limit;
//   - a class has its lines whose host is not full, a band its classes that may
//     find a free worker, each by the first task;
//   - a shape has its workers with a free slot, a set its shapes with such workers,
//     each by the strategy.
//
// So the first task and the best worker for it are found in the depth of a few
// heaps. What changes at a worker costs as many steps as there are sets that its
// shape serves, and a host that gets full as many as it has lines.
type queue struct {
	sets   map[string]*set
	lines  map[lineKey]*line
	shapes map[string]*shape
	order  []*shape // the shapes by key
	bands  [priorities]band
	hosts  hosts

	prefer    func(a, b *worker) bool // the strategy
	ranksTags bool                    // and whether tags only rank
	plain     int                     // sets that a submit has made: without disk, avoid and boundTo
	rooms     []int64                 // sizes of free disk that sets have asked for, in order
	offers    map[string]int          // by atom: workers that take new work and have it
	accepting int                     // workers that take new work when they have a slot
	changes   int64                   // of what workers can do; reasons are remembered between them
	shut      int                     // tasks whose host is full or cools down
}

// band is one priority.
type band struct {
	turn int64 // of the last task that was placed, see client
	// ready has the classes that have a task, but for those that were found to
	// have no free worker and for which none has become free since.
	ready heap[*class]
}

type lineKey struct {
	class *class
	host  *host
	cool  *cooldown
}

// home is where a task belongs.
type home struct {
	need     need
	avoid    []string
	boundTo  string
	host     *host
	priority model.Priority
	cool     *cooldown // nil, but for a task that was kept from its host
}

func newQueue(cfg *Config) queue {
	q := queue{
		sets:   make(map[string]*set),
		lines:  make(map[lineKey]*line),
		shapes: make(map[string]*shape),
		offers: make(map[string]int),
		hosts:  hosts{each: cfg.PerHost, single: cfg.Hosts, known: make(map[string]*host)},
		prefer: orderOf(cfg.Strategy), ranksTags: cfg.Strategy == StrategyTags,
	}
	for i := range q.bands {
		q.bands[i].ready = heap[*class]{
			less:  func(a, b *class) bool { return a.first().before(b.first()) },
			place: func(c *class) *int32 { return &c.inReady },
		}
	}
	return q
}

// key names the set of a home.
func (h *home) key() string {
	key := h.need.key()
	if h.need.disk == 0 && len(h.avoid) == 0 && h.boundTo == "" {
		return key
	}
	var b strings.Builder
	b.WriteString(key + "\x02" + h.boundTo + "\x02" + strconv.FormatInt(h.need.disk, 10))
	for _, name := range h.avoid {
		b.WriteString("\x02" + name)
	}
	return b.String()
}

// plain reports whether the set is one that a submit makes.
func (s *set) plain() bool { return s.need.disk == 0 && len(s.avoid) == 0 && s.boundTo == "" }

// setOf returns the set of a home, made if it is new.
func (e *Engine) setOf(h *home) *set {
	q := &e.queue
	key := h.key()
	s := q.sets[key]
	if s == nil {
		e.demandRoom(h.need.disk)
		s = q.newSet(key, h)
		q.sets[key] = s
		if s.plain() {
			q.plain++
		}
		if s.boundTo != "" {
			e.bound[s.boundTo] = append(e.bound[s.boundTo], s)
		}
	}
	return s
}

// enterLine makes the task belong to a home.
func (e *Engine) enterLine(t *task, h *home) {
	q := &e.queue
	s := e.setOf(h)
	key := lineKey{&s.classes[h.priority-1], h.host, h.cool}
	l := q.lines[key]
	if l == nil {
		l = &line{class: key.class, host: key.host, cool: key.cool, tasks: heap[*task]{
			less:  (*task).before,
			place: func(t *task) *int32 { return &t.inLine },
		}}
		q.lines[key] = l
		if h.host != nil {
			l.inHost = int32(len(h.host.lines))
			h.host.lines = append(h.host.lines, l)
		}
		if h.cool != nil {
			l.inCool = int32(len(h.cool.lines))
			h.cool.lines = append(h.cool.lines, l)
		}
		if s.boundTo != "" {
			s.lines = append(s.lines, l)
		}
	}
	s.live++
	l.live++
	t.line = l
}

// leaveLine is the reverse, for a task that is in no queue. Lines and sets to
// which nobody belongs are forgotten.
func (e *Engine) leaveLine(l *line) {
	q := &e.queue
	s := l.class.set
	if l.live--; l.live == 0 {
		delete(q.lines, lineKey{l.class, l.host, l.cool})
		if c := l.cool; c != nil {
			last := c.lines[len(c.lines)-1]
			c.lines[l.inCool], last.inCool = last, l.inCool
			c.lines[len(c.lines)-1] = nil
			c.lines = c.lines[:len(c.lines)-1]
			e.tidyCool(c)
		}
		if h := l.host; h != nil {
			last := h.lines[len(h.lines)-1]
			h.lines[l.inHost], last.inHost = last, l.inHost
			h.lines[len(h.lines)-1] = nil
			h.lines = h.lines[:len(h.lines)-1]
			q.hosts.tidy(h)
		}
		s.lines = slices.DeleteFunc(s.lines, func(o *line) bool { return o == l })
	}
	if s.live--; s.live > 0 {
		return
	}
	delete(q.sets, s.key)
	for len(s.edges) > 0 {
		q.cut(s.edges[len(s.edges)-1])
	}
	if s.plain() {
		q.plain--
	}
	if s.boundTo != "" {
		others := slices.DeleteFunc(e.bound[s.boundTo], func(o *set) bool { return o == s })
		if e.bound[s.boundTo] = others; len(others) == 0 {
			delete(e.bound, s.boundTo)
		}
	}
}

// join makes a new task belong to a home and take its turn.
func (e *Engine) join(t *task, h home) {
	e.enterLine(t, &h)
	e.takeTurn(t)
}

// part is the reverse, when the task ends.
func (e *Engine) part(t *task) {
	e.leaveTurn(t)
	e.leaveLine(t.line)
}

// move makes a task, which is in no queue, belong elsewhere; it keeps its turn
// within its priority.
func (e *Engine) move(t *task, h home) {
	old := t.line
	if h.priority == old.class.priority {
		e.enterLine(t, &h)
	} else {
		e.leaveTurn(t)
		e.join(t, h)
	}
	if t.run != nil && h.host != old.host {
		e.enterHost(h.host)
		e.leaveHost(old.host)
	}
	e.leaveLine(old)
}

// push queues a task.
func (q *queue) push(t *task) {
	l := t.line
	l.tasks.fix(t)
	l.class.set.waiting++
	if l.shut() {
		l.class.set.shut++
		q.shut++
		return
	}
	q.lead(l)
}

// remove takes a task out of the queue if it is in.
func (q *queue) remove(t *task) {
	if t.inLine == 0 {
		return
	}
	l := t.line
	l.class.set.waiting--
	if l.shut() {
		l.class.set.shut--
		q.shut--
		l.tasks.remove(t)
		return
	}
	if l.tasks.len() == 1 { // out of the upper heaps before it is empty, for they look at the first task
		q.follow(l)
		l.tasks.remove(t)
		return
	}
	l.tasks.remove(t)
	q.lead(l)
}

// lead brings a line with a task to its place in its class, and that to its own.
func (q *queue) lead(l *line) {
	c := l.class
	c.heads.fix(l)
	if c.inReady > 0 || c.set.free.len() > 0 || c.set.boundTo != "" {
		q.bands[c.band()].ready.fix(c)
	}
}

// follow takes a line out of its class.
func (q *queue) follow(l *line) {
	c := l.class
	if c.heads.len() == 1 {
		q.bands[c.band()].ready.remove(c)
		c.heads.remove(l)
		return
	}
	c.heads.remove(l)
	if c.inReady > 0 {
		q.bands[c.band()].ready.fix(c)
	}
}

// shutLine takes a line out because its host is full; openLine is the reverse.
func (q *queue) shutLine(l *line) {
	if n := l.tasks.len(); n > 0 {
		q.follow(l)
		l.class.set.shut += n
		q.shut += n
	}
}

func (q *queue) openLine(l *line) {
	if n := l.tasks.len(); n > 0 {
		l.class.set.shut -= n
		q.shut -= n
		q.lead(l)
	}
}

// wake makes the classes ready that have tasks.
func (q *queue) wake(s *set) {
	for i := range s.classes {
		if c := &s.classes[i]; c.heads.len() > 0 && c.inReady == 0 {
			q.bands[i].ready.fix(c)
		}
	}
}

// offer brings a worker of a shape to its place among those with a free slot, or
// takes it away from there.
func (q *queue) offer(w *worker, free bool) {
	sh := w.shape
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
			for _, e := range sh.edges {
				e.set.free.remove(e)
			}
		}
	case sh.free.top() != best || w == best:
		for _, e := range sh.edges {
			e.set.free.fix(e)
		}
	}
	if free && isNew {
		for _, e := range sh.edges {
			q.wake(e.set)
		}
	}
}

// next is the class whose first task is to be placed next, nil if there is none
// to try. Without ageing it is in the highest priority; with it, a task that has
// waited for the ageing time counts as one priority higher: the order is by the
// time of the submit less priority × ageing, which does not change while it waits.
func (q *queue) next(ageing model.Duration) *class {
	var best *class
	var bestAge model.Time
	for i := len(q.bands) - 1; i >= 0; i-- {
		if q.bands[i].ready.len() == 0 {
			continue
		}
		c := q.bands[i].ready.top()
		if ageing <= 0 {
			return c
		}
		if age := c.first().created.Add(-ageing * model.Duration(i)); best == nil || age < bestAge {
			best, bestAge = c, age
		}
	}
	return best
}
