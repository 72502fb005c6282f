package bus

import (
	"context"
	"sync/atomic"
	"testing"
)

// A sender that is slower than a turn makes the turn wait: nothing is dropped.
func TestAnOutboxThatIsOnlySlowDropsNothing(t *testing.T) {
	o := newOutbox()
	const many = 5 * outboxSize
	var sent atomic.Int64
	for i := range many {
		if !o.put(func() { sent.Add(1) }) {
			t.Fatalf("put %d was refused", i)
		}
	}
	if err := o.close(testContext(t)); err != nil {
		t.Fatal(err)
	}
	if n := sent.Load(); n != many {
		t.Errorf("%d of %d were sent", n, many)
	}
	if o.put(func() {}) || o.offer(func() {}) {
		t.Error("a closed outbox took something")
	}
}

// Several wait for room at once, and what comes first is sent first.
func TestWhoWaitsForRoomInAnOutboxGetsIt(t *testing.T) {
	o := newOutbox()
	stuck, taken := make(chan struct{}), make(chan struct{})
	o.put(func() { close(taken); <-stuck })
	receive(t, taken)
	var order []int // of the goroutine that sends, until close
	for i := range outboxSize {
		o.put(func() { order = append(order, i) })
	}
	if o.offer(func() {}) {
		t.Fatal("the outbox is not full")
	}
	const waiters = 3
	done := make(chan bool, waiters)
	for range waiters {
		go func() { done <- o.put(func() { order = append(order, outboxSize) }) }()
	}
	close(stuck)
	for range waiters {
		if !receive(t, done) {
			t.Error("who waited was refused")
		}
	}
	if err := o.close(context.Background()); err != nil {
		t.Fatal(err)
	}
	if len(order) != outboxSize+waiters {
		t.Fatalf("%d were sent", len(order))
	}
	for i, n := range order {
		if n != min(i, outboxSize) {
			t.Fatalf("%d was sent at place %d", n, i)
		}
	}
}
