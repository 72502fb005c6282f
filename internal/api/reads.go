package api

import (
	"context"
	"sync"
)

const (
	readers   = 8   // goroutines that read from the store for get, list and query
	readLimit = 256 // reads that wait for one of them
	// fewReads is how many reads a sender may have waiting in a full queue, so that no other
	// sender can keep it out. So the queue holds up to twice its limit.
	fewReads = readLimit / 16
)

// readQueue holds reads until a reader takes them. The senders are served in turn: one that
// sends many reads waits for its own, and the others do not. It is bounded, and safe for
// concurrent use.
type readQueue struct {
	some chan struct{} // has an element for each read

	mu      sync.Mutex
	waiting int // reads
	senders map[string]*senderReads
	turns   []*senderReads // those of senders, none of them empty; the first is served next
}

// senderReads is the reads of one sender, in the order in which they came.
type senderReads struct {
	sender string
	reads  []func()
}

func newReadQueue() *readQueue {
	return &readQueue{some: make(chan struct{}, 2*readLimit), senders: make(map[string]*senderReads)}
}

// put adds a read; it returns false, at once, if there is no room for the sender.
func (q *readQueue) put(sender string, read func()) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	s := q.senders[sender]
	hasFew := s == nil || len(s.reads) < fewReads
	if q.waiting >= readLimit && !(hasFew && q.waiting < 2*readLimit) {
		return false
	}
	if s == nil {
		s = &senderReads{sender: sender}
		q.senders[sender] = s
		q.turns = append(q.turns, s)
	}
	s.reads = append(s.reads, read)
	q.waiting++
	q.some <- struct{}{} // there is room: it has at most one element for each read
	return true
}

// take waits for a read and returns it, or nil when ctx ends.
func (q *readQueue) take(ctx context.Context) func() {
	select {
	case <-q.some:
	case <-ctx.Done():
		return nil
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	s := q.turns[0]
	q.turns[0] = nil
	q.turns = q.turns[1:]
	read := s.reads[0]
	s.reads[0] = nil
	if s.reads = s.reads[1:]; len(s.reads) == 0 {
		delete(q.senders, s.sender)
	} else {
		q.turns = append(q.turns, s)
	}
	q.waiting--
	return read
}
