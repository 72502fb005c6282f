package api

import (
	"slices"
	"testing"

	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/internal/wire"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// A sender that fills the queue is refused, the others get in, and the senders are served
// in turn.
func TestFairQueue_FloodHoldsUpNoOtherSender(t *testing.T) {
	const few = readLimit / fewFraction
	q := newFairQueue(readLimit, false)
	var served []string
	put := func(sender string) bool {
		return q.put(limited{wire.RoleTask, sender}, 1, func() { served = append(served, sender) })
	}
	accepted := 0
	for put("flood") {
		accepted++
	}
	if accepted != readLimit {
		t.Errorf("%d reads of one sender are accepted, want %d", accepted, readLimit)
	}
	for i := range few {
		if !put("few") {
			t.Fatalf("read %d of another sender is refused", i)
		}
	}
	if put("few") {
		t.Error("a full queue takes more than a few reads of one sender")
	}
	for accepted += few; put(string(rune('a' + accepted))); accepted++ {
	}
	if accepted != 2*readLimit {
		t.Errorf("%d reads are accepted, want %d", accepted, 2*readLimit)
	}
	for range 2 * readLimit {
		q.take(testbed.Context(t))()
	}
	if first := served[:2]; !slices.Equal(first, []string{"flood", "few"}) {
		t.Errorf("first came %v", first)
	}
	if last := served[readLimit+readLimit/2:]; slices.Contains(last, "few") {
		t.Error("the few reads waited for those of the flood")
	}
	if q.waiting != 0 || len(q.senders) != 0 || len(q.turns) != 0 {
		t.Errorf("%d reads and %d senders are left", q.waiting, len(q.senders))
	}
}

// With inOrder a sender has one job under way at a time, and others are served meanwhile.
func TestFairQueue_InOrderRunsOneJobOfSender(t *testing.T) {
	q := newFairQueue(64, true)
	var served []string
	for _, name := range []string{"a1", "a2", "b1", "a3"} {
		sender := limited{wire.RoleWorker, name[:1]}
		if !q.put(sender, 1, func() { served = append(served, name) }) {
			t.Fatalf("%s is refused", name)
		}
	}
	ctx := testbed.Context(t)
	a1, b1 := q.take(ctx), q.take(ctx)
	b1()
	if len(q.turns) != 0 {
		t.Error("the next job of a sender may run beside its first")
	}
	a1()
	q.take(ctx)()
	q.take(ctx)()
	if !slices.Equal(served, []string{"b1", "a1", "a2", "a3"}) {
		t.Errorf("served %v", served)
	}
	if len(q.senders) != 0 || q.waiting != 0 {
		t.Errorf("%d senders and a weight of %d are left", len(q.senders), q.waiting)
	}
}

// Large bodies wait for a decoder: they delay no small request, and a sender of too many is
// refused alone.
func TestService_LargeBodiesDelayNoOtherSender(t *testing.T) {
	s := New(nil, Options{}) // before Run nothing takes the large bodies
	at := Endpoint{Verb: "report", handle: func(c *call) { c.reply(Reply{Body: []byte(c.from.Name)}) }}
	ask := func(worker string, size int) answers {
		via := make(answers, 1)
		s.Serve(at, wire.Sender{Role: wire.RoleWorker, Name: worker, Verb: at.Verb}, make([]byte, size), via)
		return via
	}
	if r := testbed.Receive(t, ask("small", inlineBody)); string(r.Body) != "small" {
		t.Errorf("a small request: %+v", r)
	}
	const size = 1 << 20
	room := bodyLimit / (1 + size/inlineBody)
	var waiting []answers
	for range room {
		waiting = append(waiting, ask("flood", size))
	}
	if r := testbed.Receive(t, ask("flood", size)); r.Err == nil || r.Err.Code != model.CodeUnavailable {
		t.Errorf("request %d of a flood: %+v", room+1, r)
	}
	waiting = append(waiting, ask("other", size))
	if r := testbed.Receive(t, ask("small", inlineBody)); string(r.Body) != "small" {
		t.Errorf("a small request beside a flood: %+v", r)
	}
	testbed.Run(t, s.Run)
	for i, via := range waiting {
		if r := testbed.Receive(t, via); r.Err != nil {
			t.Errorf("waiting request %d: %v", i, r.Err)
		}
	}
}

// A small request does not overtake a large one of its sender: two submits of a client are
// decided in the order in which they came.
func TestService_SmallRequestWaitsForLargeOneOfSender(t *testing.T) {
	s := New(nil, Options{})
	decided := make(chan string, 3)
	at := Endpoint{Verb: "submit", handle: func(c *call) {
		decided <- c.from.Name + " " + string(c.data[:1])
		c.reply(Reply{})
	}}
	ask := func(client string, body []byte) {
		s.Serve(at, wire.Sender{Role: wire.RoleTask, Name: client, Verb: at.Verb}, body, make(answers, 1))
	}
	large := make([]byte, inlineBody+1)
	large[0] = '1'
	ask("a", large)
	ask("a", []byte("2"))
	ask("b", []byte("3"))
	if got := testbed.Receive(t, decided); got != "b 3" {
		t.Errorf("before the decoders run: %s", got)
	}
	testbed.Run(t, s.Run)
	if got := []string{testbed.Receive(t, decided), testbed.Receive(t, decided)}; !slices.Equal(got, []string{"a 1", "a 2"}) {
		t.Errorf("decided in the order %q", got)
	}
}
