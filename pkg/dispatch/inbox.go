package dispatch

import (
	"sync"

	"github.com/aria-cluster/dispatcher/pkg/engine"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// call is the operations of one message. Its answers are given together, after
// the turn of the last one.
type call struct {
	ops     []engine.Event
	answers []Answer
	next    int // the first operation that no turn has taken yet
	done    func([]Answer)
}

// bytesPerUnit is how much payload weighs as much as one operation.
const bytesPerUnit = 4096

// weight is what an operation costs to hold and to decide, in operations: a
// torrent takes memory, and each task that a heartbeat lists a look-up.
func weight(op engine.Event) int {
	switch op := op.(type) {
	case engine.Submit:
		s := op.Spec
		return 1 + (len(s.Torrent)+len(s.Metalink)+len(s.URL)+sourceBytes(s.Mirrors, s.Options))/bytesPerUnit
	case engine.Update:
		var mirrors []string
		var options model.Options
		if c := op.Change.Mirrors; c != nil {
			mirrors = *c
		}
		if c := op.Change.Options; c != nil {
			options = *c
		}
		return 1 + sourceBytes(mirrors, options)/bytesPerUnit
	case engine.Heartbeat:
		return 1 + len(op.Tasks)/16
	case engine.QueryTasks:
		return 1 + len(op.IDs)/16
	}
	return 1
}

// sourceBytes is what the longer fields of a spec have, but for a torrent.
func sourceBytes(mirrors []string, options model.Options) int {
	n := 0
	for _, m := range mirrors {
		n += len(m)
	}
	for _, values := range options { // in any order: only a sum
		for _, v := range values {
			n += len(v)
		}
	}
	return n
}

// lane is a queue of calls, bounded by their weight.
type lane struct {
	calls  []*call
	weight int
}

// The lanes of an inbox. What workers say has its own, and is taken first: it
// keeps the system true, and a flood of submits must not make workers seem lost.
const (
	workerLane = iota
	clientLane
	lanes
)

func laneOf(op engine.Event) int {
	switch op.(type) {
	case engine.Heartbeat, engine.Report:
		return workerLane
	}
	return clientLane
}

// inbox holds calls until a turn takes them. It is bounded, and safe for
// concurrent use.
type inbox struct {
	mu     sync.Mutex
	lanes  [lanes]lane
	limit  int // weight of one lane
	closed bool
	wake   chan struct{} // has an element while there may be something to take
}

func newInbox(limit int) *inbox {
	return &inbox{limit: limit, wake: make(chan struct{}, 1)}
}

// put adds a call, all of whose operations are of one lane; it returns false, at
// once, if the lane is full or the inbox closed. One call alone always fits an
// empty lane.
func (b *inbox) put(c *call) bool {
	total := 0
	for _, op := range c.ops {
		total += weight(op)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	l := &b.lanes[laneOf(c.ops[0])]
	if b.closed || l.weight > 0 && l.weight+total > b.limit {
		return false
	}
	l.calls = append(l.calls, c)
	l.weight += total
	select {
	case b.wake <- struct{}{}:
	default:
	}
	return true
}

// part is one operation's place in its call.
type part struct {
	call *call
	at   int
}

// batch is what one turn decides on; parts[i] is where events[i+skip] came from.
type batch struct {
	events []engine.Event
	parts  []part
	room   int // weight that may still be taken
}

// take moves operations into the batch, the oldest of each lane first, those of
// workers before those of clients; but for these a quarter of the room is kept.
// A call may be taken in pieces.
func (b *inbox) take(into *batch) {
	b.mu.Lock()
	defer b.mu.Unlock()
	kept := min(into.room/4, b.lanes[clientLane].weight)
	into.room -= kept
	b.lanes[workerLane].take(into)
	into.room += kept
	b.lanes[clientLane].take(into)
}

func (l *lane) take(into *batch) {
	taken := 0
	for _, c := range l.calls {
		for c.next < len(c.ops) && into.room > 0 {
			op := c.ops[c.next]
			into.events = append(into.events, op)
			into.parts = append(into.parts, part{c, c.next})
			w := weight(op)
			c.next++
			into.room -= w
			l.weight -= w
		}
		if c.next < len(c.ops) {
			break
		}
		taken++
	}
	rest := copy(l.calls, l.calls[taken:])
	clear(l.calls[rest:])
	l.calls = l.calls[:rest]
}

// waiting reports whether there is something to take.
func (b *inbox) waiting() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := range b.lanes {
		if len(b.lanes[i].calls) > 0 {
			return true
		}
	}
	return false
}

// close refuses further calls; those that are in can still be taken.
func (b *inbox) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
}
