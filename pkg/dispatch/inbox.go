package dispatch

import (
	"sync"

	"github.com/aria-cluster/dispatcher/pkg/engine"
)

// call is the operations of one message. Its answers are given together, after
// the turn of the last one.
type call struct {
	ops     []engine.Event
	answers []Answer
	next    int // the first operation that no turn has taken yet
	done    func([]Answer)
}

// inbox holds calls until a turn takes them. It is bounded in operations, not in
// calls, and safe for concurrent use.
type inbox struct {
	mu     sync.Mutex
	calls  []*call
	ops    int
	limit  int
	closed bool
	wake   chan struct{} // has an element while there may be something to take
}

func newInbox(limit int) *inbox {
	return &inbox{limit: limit, wake: make(chan struct{}, 1)}
}

// put adds a call; it returns false, at once, if the inbox is full or closed. One
// call alone always fits an empty inbox.
func (b *inbox) put(c *call) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed || b.ops > 0 && b.ops+len(c.ops) > b.limit {
		return false
	}
	b.calls = append(b.calls, c)
	b.ops += len(c.ops)
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

// take moves up to limit operations into events and parts, the oldest first; a
// call may be taken in pieces.
func (b *inbox) take(limit int, events []engine.Event, parts []part) ([]engine.Event, []part) {
	b.mu.Lock()
	defer b.mu.Unlock()
	taken := 0
	for _, c := range b.calls {
		for c.next < len(c.ops) && len(events) < limit {
			events = append(events, c.ops[c.next])
			parts = append(parts, part{c, c.next})
			c.next++
			b.ops--
		}
		if c.next < len(c.ops) {
			break
		}
		taken++
	}
	rest := copy(b.calls, b.calls[taken:])
	clear(b.calls[rest:])
	b.calls = b.calls[:rest]
	return events, parts
}

// waiting reports whether there is something to take.
func (b *inbox) waiting() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.ops > 0
}

// close refuses further calls; those that are in can still be taken.
func (b *inbox) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
}
