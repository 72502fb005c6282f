package placement

import (
	"maps"
	"slices"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// Counts is how many tasks wait, by why. Cooling to Affinity add up to Queued.
type Counts struct {
	Queued int // that may be placed now
	Due    int // that may be placed later
	// DueByClient is those of Due that their clients want then; the others back off.
	DueByClient int

	Cooling   int // their host asked their client to wait
	HostLimit int // their host has as many tasks as it may
	NoSlot    int // no worker that could take them has a free slot
	NoWorker  int // no worker that takes new work has what they need
	Affinity  int // they wait for the worker that has a part of their file
}

// Counts counts. It costs a step a requirement set and a cool-down, and nothing a task.
func (q *Index) Counts() Counts {
	c := Counts{Due: q.due.Len(), DueByClient: q.scheduled, Cooling: q.countCooling()}
	c.HostLimit = q.parked - c.Cooling
	for _, s := range q.sets { // in any order: only sums
		c.Queued += s.waiting
		switch n := s.waiting - s.parked; {
		case n == 0:
		case s.boundTo != "":
			c.Affinity += n
		case q.canServe(s, ""):
			c.NoSlot += n
		default:
			c.NoWorker += n
		}
	}
	return c
}

// EachReason calls count for each reason for which queued tasks wait, in a fixed order, host
// limits and cool-downs apart. The same reason may come several times.
func (q *Index) EachReason(count func(reason string, n int)) {
	for _, name := range slices.Sorted(maps.Keys(q.sets)) {
		s := q.sets[name]
		if n := s.waiting - s.parked; n > 0 {
			count(q.setReason(s), n)
		}
	}
}

// Oldest returns the task that has been queued in its priority for the longest time, or nil.
func (q *Index) Oldest(p model.Priority) *Task { return q.waiting[p-1].first }

// waitList is the tasks of one priority that wait in a host queue, in the order in which
// they came there.
type waitList struct{ first, last *Task }

// updateWaiting adds a task to the list of its priority while it is in a host queue,
// and removes it otherwise.
func (q *Index) updateWaiting(t *Task) {
	if waits := t.inQueue > 0; waits == t.inWaiting {
		return
	}
	l := &q.waiting[t.queue.group.level()]
	if t.inWaiting = !t.inWaiting; t.inWaiting {
		t.waitsAfter = l.last
		if l.last != nil {
			l.last.waitsBefore = t
		} else {
			l.first = t
		}
		l.last = t
		return
	}
	before, after := t.waitsAfter, t.waitsBefore
	t.waitsAfter, t.waitsBefore = nil, nil
	if before != nil {
		before.waitsBefore = after
	} else {
		l.first = after
	}
	if after != nil {
		after.waitsAfter = before
	} else {
		l.last = before
	}
}

// Sizes is how much an index holds.
type Sizes struct {
	Clients, Sets, HostQueues, Hosts, Classes int
	Waiting, Scheduled, Cooldowns             int
}

// Sizes counts what the index holds now. It costs a walk over the sets.
func (q *Index) Sizes() Sizes {
	s := Sizes{
		Clients: len(q.clients), Sets: len(q.sets), HostQueues: len(q.hostQueues), Hosts: len(q.hosts.byName),
		Classes: len(q.classes), Scheduled: q.due.Len(), Cooldowns: q.cooldowns,
	}
	for _, set := range q.sets { // in any order: only a sum
		s.Waiting += set.waiting
	}
	return s
}
