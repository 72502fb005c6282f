package natsapi

import (
	"context"
	"testing"
	"time"

	"github.com/aria-cluster/dispatcher/internal/goroutine"
	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/internal/wire"
)

// TestRefusalThrottle_SendsRefusalPutAfterClose checks that a refusal that is put after the
// pacer has ended is given all the same: a request that the service took in before
// its stop is then answered, and the stop does not wait for it.
func TestRefusalThrottle_SendsRefusalPutAfterClose(t *testing.T) {
	p := newRefusalThrottle()
	p.close()
	given := make(chan struct{}, 1)
	if !p.put(func() { given <- struct{}{} }) {
		t.Fatal("the refusal was not accepted")
	}
	testbed.Receive(t, given)
}

// TestRefusalThrottle_SendsEveryRefusalDuringClose checks the same for refusals that are put
// while the pacer ends, by several requests at once: each is given or refused, none
// stays in the queue.
func TestRefusalThrottle_SendsEveryRefusalDuringClose(t *testing.T) {
	const senders, each = 8, 200
	p := newRefusalThrottle()
	given, put := make(chan struct{}, senders*each), make(chan int, senders)
	begin := make(chan struct{})
	for range senders {
		go func() {
			<-begin
			n := 0
			for range each {
				if p.put(func() { given <- struct{}{} }) {
					n++
				}
			}
			put <- n
		}()
	}
	close(begin)
	p.close()
	for range senders {
		for range testbed.Receive(t, put) {
			testbed.Receive(t, given)
		}
	}
}

// TestServiceStop_AnswersRequestRefusedAfterThrottle drives a whole service: a request
// over its client's limit is accepted, the pacer ends, and only then is the request
// refused. The stop must not wait for it.
func TestServiceStop_AnswersRequestRefusedAfterThrottle(t *testing.T) {
	w := serve(t, &fakeBackend{})
	inbox := w.nc.NewRespInbox()
	sub, err := w.nc.SubscribeSync(inbox)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.nc.FlushWithContext(testbed.Context(t)); err != nil {
		t.Fatal(err)
	}
	if !w.service.enter() { // as a request does
		t.Fatal("the service stops already")
	}
	c := &call{service: w.service, endpoint: &endpointStats{}, began: time.Now(), from: wire.Sender{Role: wire.RoleTask, Name: "alice", Verb: "submit"}, replySubject: inbox}
	w.service.refusals.close() // the stop has come as far as this
	c.refuseThrottled(errInFlight)
	m, err := sub.NextMsgWithContext(testbed.Context(t))
	if err != nil || m.Header.Get("Nats-Service-Error-Code") != "429" {
		t.Fatalf("the request got %v, %v", m, err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := goroutine.Wait(ctx, &w.service.inFlight, "requests"); err != nil {
		t.Error(err)
	}
	w.service.refusals = newRefusalThrottle() // the cleanup of the test stops the service
}
