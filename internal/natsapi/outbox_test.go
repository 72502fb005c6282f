package natsapi

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/internal/testbed/testbus"
	"github.com/aria-cluster/dispatcher/internal/wire"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// runOutbox runs an outbox until the end of the test.
func runOutbox(t *testing.T) (*outbox, *testbed.Running) {
	o := newOutbox()
	return o, testbed.Run(t, func(ctx context.Context) error { o.run(ctx); return nil })
}

// A sender that is slower than a turn makes the turn wait: nothing is dropped.
func TestOutbox_SlowSenderDropsNothing(t *testing.T) {
	o, sending := runOutbox(t)
	const many = 5 * outboxSize
	var sent atomic.Int64
	for i := range many {
		if !o.put(func() { sent.Add(1) }) {
			t.Fatalf("put %d was refused", i)
		}
	}
	if err := sending.Stop(t); err != nil {
		t.Fatal(err)
	}
	if n := sent.Load(); n != many {
		t.Errorf("%d of %d were sent", n, many)
	}
	if o.put(func() {}) || o.offer(func() {}) {
		t.Error("a closed outbox took something")
	}
}

// Several wait for maxBody at once, and what comes first is sent first.
func TestOutbox_WaitersGetRoomInOrder(t *testing.T) {
	o, sending := runOutbox(t)
	stuck, taken := make(chan struct{}), make(chan struct{})
	o.put(func() { close(taken); <-stuck })
	testbed.Receive(t, taken)
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
		if !testbed.Receive(t, done) {
			t.Error("who waited was refused")
		}
	}
	if err := sending.Stop(t); err != nil {
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

// TestPublisher_SkipsEventWithoutSubscriber checks that an event without a subscriber
// is not encoded.
func TestPublisher_SkipsEventWithoutSubscriber(t *testing.T) {
	s := testbus.StartServer(t)
	nc := testbus.Connect(t, s.ClientURL())
	asked := 0
	p, err := NewPublisher(testbus.Open(t, s.ClientURL()), wire.DefaultPrefix, func(subject string) bool { asked++; return s.HasInterest(subject) }, nil)
	if err != nil {
		t.Fatal(err)
	}
	running := testbed.Run(t, p.Run)
	say := func(status model.Status) { p.TaskEvent(&model.TaskEvent{ID: "t1", Client: "alice", Status: status}) }
	say(model.StatusPending) // nobody
	for _, subject := range []string{
		"aria.v1.evt.task.alice.t1.queued",
		"aria.v1.evt.task.alice.*.downloading",
		"aria.v1.evt.task.>",
	} {
		if s.HasInterest(subject) {
			t.Errorf("%s is heard before anybody listens", subject)
		}
		sub, err := nc.QueueSubscribeSync(subject, "observers")
		if err != nil {
			t.Fatal(err)
		}
		if err := nc.Flush(); err != nil {
			t.Fatal(err)
		}
		say(model.StatusQueued)
		say(model.StatusDownloading)
		m, err := sub.NextMsgWithContext(testbed.Context(t))
		if err != nil {
			t.Fatalf("%s: %v", subject, err)
		}
		if subject == "aria.v1.evt.task.>" && m.Subject != "aria.v1.evt.task.alice.t1.queued" {
			t.Errorf("%s brought %s", subject, m.Subject)
		}
		if err := sub.Unsubscribe(); err != nil {
			t.Fatal(err)
		}
		if err := nc.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	if err := running.Stop(t); err != nil {
		t.Fatal(err)
	}
	if asked != 7 {
		t.Errorf("asked %d times who hears it, want once for each event", asked)
	}
}

// TestPublisher_WithoutInterestSkipsEventsOnly checks that commands are sent whether or
// not somebody subscribes.
func TestPublisher_WithoutInterestSkipsEventsOnly(t *testing.T) {
	s := testbus.StartServer(t)
	nc := testbus.Connect(t, s.ClientURL())
	sub, err := nc.SubscribeSync("aria.v1.>")
	if err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	p, err := NewPublisher(testbus.Open(t, s.ClientURL()), wire.DefaultPrefix, func(string) bool { return false }, nil)
	if err != nil {
		t.Fatal(err)
	}
	running := testbed.Run(t, p.Run)
	p.TaskEvent(&model.TaskEvent{ID: "t1", Client: "alice", Status: model.StatusQueued})
	p.Progress(&model.ProgressEvent{ID: "t1", Client: "alice"})
	p.WorkerEvent(&model.WorkerEvent{ID: "w1", Status: model.WorkerOnline})
	p.Assign("w1", 0, []model.Assignment{{Task: &model.Task{TaskSpec: model.TaskSpec{ID: "t1"}}}})
	p.Drop("w1", 0, []model.Drop{{ID: "t1", Attempt: 1}})
	p.RequestHeartbeat("w1", 0)
	if err := running.Stop(t); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"assign", "drop", "assign"} {
		m, err := sub.NextMsgWithContext(testbed.Context(t))
		if err != nil {
			t.Fatal(err)
		}
		if m.Subject != "aria.v1.cmd.worker.w1."+want {
			t.Errorf("%s came, want %s", m.Subject, want)
		}
	}
}
