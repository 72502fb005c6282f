package api

import (
	"testing"
	"time"

	"github.com/aria-cluster/dispatcher/internal/engine"
	"github.com/aria-cluster/dispatcher/internal/goroutine"
	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/internal/wire"
	"github.com/aria-cluster/dispatcher/pkg/model"
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

// TestServiceRun_AnswersRequestRefusedAfterThrottle drives a whole service: a request
// over its client's limit is accepted, the pacer ends, and only then is the request
// refused. The stop must not wait for it.
func TestServiceRun_AnswersRequestRefusedAfterThrottle(t *testing.T) {
	s := New(nil, Options{})
	if !s.enter() { // as a request does
		t.Fatal("the service stops already")
	}
	via := make(answers, 1)
	c := &call{service: s, began: time.Now(), from: wire.Sender{Role: wire.RoleTask, Name: "alice", Verb: "submit"}, via: via}
	s.refusals.close() // the stop has come as far as this
	c.refuseThrottled(errInFlight)
	if r := testbed.Receive(t, via); r.Err != errInFlight {
		t.Fatalf("the request got %+v", r)
	}
	if err := goroutine.Wait(testbed.Context(t), &s.inFlight, "requests"); err != nil {
		t.Error(err)
	}
	s.refusals = newRefusalThrottle()
	if err := testbed.Run(t, s.Run).Stop(t); err != nil {
		t.Error(err)
	}
}

// answers is a transport that delivers answers into a channel.
type answers chan Reply

func (a answers) Room() int { return maxBody }

func (answers) SubmitVia() engine.Via { return engine.ViaRequest }

func (a answers) Wanted() bool { return true }

func (a answers) Defer(send func(), _ bool) bool {
	go send()
	return true
}

func (a answers) Send(pack func(int) Reply) { a <- pack(maxBody) }

func (a answers) Skip(err *model.Error) { a <- Reply{Err: err} }
