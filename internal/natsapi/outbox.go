package natsapi

import (
	"context"
	"sync"
	"time"
)

const (
	// outboxSize limits the queued messages; the same number may be in the batch that
	// is being sent.
	outboxSize = 8192
	// outboxTimeout is how long put waits for room in a full outbox.
	outboxTimeout = 250 * time.Millisecond
)

// outbox sends in the goroutine of run, in order. A publish blocks while the socket is
// stuck, and that must not delay the dispatcher's turn for long. A turn that produces
// messages faster than they can be sent does wait: a dropped assignment reaches its
// worker a heartbeat interval later.
type outbox struct {
	mu     sync.Mutex
	queue  []func() // waiting to be sent
	closed bool
	stuck  bool          // a put has timed out, and nothing was sent since
	wake   chan struct{} // has an element where there may be something to send
	room   chan struct{} // has an element where there may be room
}

func newOutbox() *outbox {
	return &outbox{wake: make(chan struct{}, 1), room: make(chan struct{}, 1)}
}

// run sends until ctx ends; then it sends what is queued, takes nothing more, and returns.
func (o *outbox) run(ctx context.Context) {
	defer context.AfterFunc(ctx, o.close)()
	var batch []func()
	for range o.wake {
		o.mu.Lock()
		batch, o.queue = o.queue, batch[:0]
		o.stuck = false
		closed := o.closed
		o.mu.Unlock()
		signal(o.room)
		for i, send := range batch {
			batch[i] = nil // release its memory
			send()
		}
		if closed {
			return // nothing is queued after close
		}
	}
}

// offer queues send; it returns false, at once, when the outbox is full or closed.
func (o *outbox) offer(send func()) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed || len(o.queue) >= outboxSize {
		return false
	}
	o.queue = append(o.queue, send)
	if len(o.queue) == 1 {
		signal(o.wake)
	}
	return true
}

// put is offer that waits a moment for room, unless the outbox is stuck.
func (o *outbox) put(send func()) bool {
	if o.offer(send) {
		return true
	}
	patience := time.NewTimer(outboxTimeout)
	defer patience.Stop()
	for o.canWait() {
		select {
		case <-o.room:
			if o.offer(send) {
				signal(o.room) // for other waiting calls
				return true
			}
		case <-patience.C:
			o.mu.Lock()
			o.stuck = true
			o.mu.Unlock()
			return false
		}
	}
	return false
}

func (o *outbox) canWait() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return !o.closed && !o.stuck
}

// signal puts an element into a channel that has room for one.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// close takes nothing more, and has run send the queue and return.
func (o *outbox) close() {
	o.mu.Lock()
	o.closed = true
	o.mu.Unlock()
	signal(o.wake)
}
