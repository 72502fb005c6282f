package bus

import (
	"context"
	"sync"
)

// outboxSize bounds what waits to be encoded and sent.
const outboxSize = 8192

// outbox sends in a goroutine of its own, in order. A publish blocks while the
// socket is stuck, and the dispatcher's turn must not wait for that.
type outbox struct {
	mu     sync.RWMutex // held for reading while something is put
	closed bool
	queue  chan func()
	done   chan struct{}
}

func newOutbox() *outbox {
	o := &outbox{queue: make(chan func(), outboxSize), done: make(chan struct{})}
	go func() {
		defer close(o.done)
		for send := range o.queue {
			send()
		}
	}()
	return o
}

// put queues send; it returns false, at once, when the outbox is full or closed.
func (o *outbox) put(send func()) bool {
	o.mu.RLock()
	defer o.mu.RUnlock()
	if o.closed {
		return false
	}
	select {
	case o.queue <- send:
		return true
	default:
		return false
	}
}

// close sends what is queued and ends; calling it again is harmless. It returns
// ctx's error when that comes first; what is left is then still being sent.
func (o *outbox) close(ctx context.Context) error {
	o.mu.Lock()
	if !o.closed {
		o.closed = true
		close(o.queue)
	}
	o.mu.Unlock()
	select {
	case <-o.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
