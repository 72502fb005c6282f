package dispatch

import (
	"sync"

	"github.com/aria-cluster/dispatcher/internal/engine"
)

// call is the operations of one message. Its answers are given together, after
// the turn of the last one.
type call struct {
	ops      []engine.Event
	answers  []engine.Answer
	answered int // of the ops
	next     int // the first operation that no turn has taken yet
	done     func([]engine.Answer)
}

// bytesPerUnit is the payload that weighs as much as one operation.
const bytesPerUnit = 4096

// entriesPerUnit is the number of looked-up entries that weigh as much as one operation.
const entriesPerUnit = 16

// weight is what an operation costs to hold and to decide, in operations: payload
// takes memory, and each entry of a list a look-up.
func weight(t *engine.Traits) int { return 1 + t.Bytes/bytesPerUnit + t.Entries/entriesPerUnit }

// queue is the calls of one sender, in the order in which they came.
type queue struct {
	sender string
	calls  []*call
	weight int
}

// lane is the queues of the senders that wait, clients or workers, in the order of service.
// Its weight is bounded.
type lane struct {
	queues      map[string]*queue
	turns       []*queue // those of queues, none of them empty; the first is served next
	weight      int
	isContended bool // several waited at the last turn
}

// A sender with little in a full lane may add more, so that no sender can keep the
// others out. So a lane holds up to twice its limit.
const smallSenderFraction = 16 // parts of the limit

// senderShare is how much of a turn's room one sender gets while others wait, in parts:
// a small request waits for a short turn, whatever other senders send.
const senderShare = 8

// inbox holds calls until a turn takes them, the workers' before the clients': what
// workers send keeps the system true. It is bounded, and safe for
// concurrent use.
type inbox struct {
	mu     sync.Mutex
	lanes  [engine.Lanes]lane
	limit  int // weight of one lane
	closed bool
	wake   chan struct{} // has an element while there may be something to take
}

func newInbox(limit int) *inbox {
	b := &inbox{limit: limit, wake: make(chan struct{}, 1)}
	for i := range b.lanes {
		b.lanes[i].queues = make(map[string]*queue)
	}
	return b
}

// senderOf names the client or worker of a call, within its lane.
func senderOf(t *engine.Traits) string {
	if t.Lane == engine.LaneWorkers {
		return t.Worker
	}
	return t.Client
}

// put adds a call, whose operations are all of one lane and one sender; it
// returns false, at once, if the lane is full or the inbox closed. One call alone
// always fits an empty lane.
func (b *inbox) put(c *call) bool {
	total := 0
	for _, op := range c.ops {
		t := op.Traits()
		total += weight(&t)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	first := c.ops[0].Traits()
	l := &b.lanes[first.Lane]
	sender := senderOf(&first)
	q := l.queues[sender]
	own := total
	if q != nil {
		own += q.weight
	}
	fits := l.weight == 0 || l.weight+total <= b.limit || own <= b.limit/smallSenderFraction && l.weight+total <= 2*b.limit
	if b.closed || !fits {
		return false
	}
	if q == nil {
		q = &queue{sender: sender}
		l.queues[sender] = q
		l.turns = append(l.turns, q)
	}
	q.calls = append(q.calls, c)
	q.weight += total
	l.weight += total
	select {
	case b.wake <- struct{}{}:
	default:
	}
	return true
}

// opRef is one operation's place in its call.
type opRef struct {
	call *call
	at   int
}

// batch is what one turn decides on. The last events are those of refs, in the same order;
// those before them, such as a tick, have no call.
type batch struct {
	events []engine.Event
	refs   []opRef
	room   int // weight that may still be taken
}

// take moves operations into the batch: those of workers before those of clients,
// except that a quarter of the room is kept for clients. The senders of a lane are served
// in turn, each from its oldest call on. A call may be taken in pieces.
func (b *inbox) take(into *batch) {
	b.mu.Lock()
	defer b.mu.Unlock()
	kept := min(into.room/4, b.lanes[engine.LaneClients].weight)
	into.room -= kept
	b.lanes[engine.LaneWorkers].take(into)
	into.room += kept
	b.lanes[engine.LaneClients].take(into)
}

func (l *lane) take(into *batch) {
	part := into.room
	shared := len(l.turns) > 1
	if shared || l.isContended {
		part = max(into.room/senderShare, 1)
	}
	l.isContended = shared
	for range len(l.turns) {
		if into.room <= 0 {
			return
		}
		q := l.turns[0]
		l.turns[0] = nil
		l.turns = l.turns[1:]
		l.weight -= q.take(into, min(part, into.room))
		if len(q.calls) == 0 {
			delete(l.queues, q.sender)
		} else {
			l.turns = append(l.turns, q)
		}
	}
}

// take moves operations of about the given weight into the batch and returns how
// much they weigh: at least one, however heavy.
func (q *queue) take(into *batch, room int) (moved int) {
	taken := 0
	for _, c := range q.calls {
		for c.next < len(c.ops) && moved < room {
			op := c.ops[c.next]
			into.events = append(into.events, op)
			into.refs = append(into.refs, opRef{c, c.next})
			t := op.Traits()
			moved += weight(&t)
			c.next++
		}
		if c.next < len(c.ops) {
			break
		}
		taken++
	}
	rest := copy(q.calls, q.calls[taken:])
	clear(q.calls[rest:])
	q.calls = q.calls[:rest]
	into.room -= moved
	q.weight -= moved
	return moved
}

// waiting reports whether there is something to take.
func (b *inbox) waiting() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := range b.lanes {
		if len(b.lanes[i].turns) > 0 {
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
