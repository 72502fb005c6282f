package natsapi

import (
	"context"
	"sync"
	"time"
)

const (
	// outboxSize bounds what waits to be encoded and sent; as much again may be on
	// its way.
	outboxSize = 8192
	// outboxPatience is how long what is put into a full outbox waits for room.
	outboxTimeout = 250 * time.Millisecond
)

// outbox sends in a goroutine of its own, in order. A publish blocks while the
// socket is stuck, and the dispatcher's turn must not wait for that for long. But
// a turn that is merely faster than what it says can be sent must wait: an
// assignment that is dropped costs its worker more than a heartbeat interval.
type outbox struct {
	mu     sync.Mutex
	queue  []func() // what waits
	closed bool
	stuck  bool          // somebody has waited in vain, and nothing was sent since
	wake   chan struct{} // has an element where there may be something to send
	room   chan struct{} // has an element where there may be room
	done   chan struct{} // closed when all is sent after close
}

func newOutbox() *outbox {
	o := &outbox{wake: make(chan struct{}, 1), room: make(chan struct{}, 1), done: make(chan struct{})}
	go o.run()
	return o
}

func (o *outbox) run() {
	defer close(o.done)
	var batch []func()
	for range o.wake {
		o.mu.Lock()
		batch, o.queue = o.queue, batch[:0]
		o.stuck = false
		closed := o.closed
		o.mu.Unlock()
		signal(o.room)
		for i, send := range batch {
			batch[i] = nil // let go of what it holds
			send()
		}
		if closed {
			return // nothing is put any more
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

// put is offer that waits a moment for room, unless somebody has just waited in
// vain.
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
				signal(o.room) // for others who wait
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

// close sends what is queued and ends; calling it again is harmless. It returns
// ctx's error when that comes first; what is left is then still being sent.
func (o *outbox) close(ctx context.Context) error {
	o.mu.Lock()
	o.closed = true
	o.mu.Unlock()
	signal(o.wake)
	select {
	case <-o.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
