package api

import (
	"fmt"
	"testing"
	"time"

	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/internal/wire"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// TestLimiter_AppliesRateToEachClient checks that each client has a rate of its own.
func TestLimiter_AppliesRateToEachClient(t *testing.T) {
	g := newLimiter(100)
	now := time.Unix(1000, 0)
	alice := limited{wire.RoleTask, "alice"}
	submit := func(client string, tasks int) *model.Error {
		t.Helper()
		err := g.acquire(limited{wire.RoleTask, client}, true, now)
		if err == nil {
			g.charge(limited{wire.RoleTask, client}, tasks, now)
			g.release(limited{wire.RoleTask, client}, now)
		}
		return err
	}
	for i := range 100 {
		if err := submit("alice", 1); err != nil {
			t.Fatalf("submit %d of a burst: %v", i, err)
		}
	}
	if err := submit("alice", 1); err != errRate {
		t.Errorf("past the burst: %v", err)
	}
	if err := g.acquire(alice, false, now); err != nil {
		t.Errorf("a get: %v", err)
	}
	g.release(alice, now)
	if err := submit("bob", 1); err != nil {
		t.Errorf("another client: %v", err)
	}
	now = now.Add(10 * time.Millisecond)
	if err := submit("alice", 1); err != nil {
		t.Errorf("a hundredth of a second later: %v", err)
	}
	if err := submit("alice", 1); err != errRate {
		t.Errorf("the next at once: %v", err)
	}
	// A batch is let in whole, and paid off.
	if err := submit("carol", 1000); err != nil {
		t.Errorf("a batch: %v", err)
	}
	now = now.Add(8 * time.Second)
	if err := submit("carol", 1); err != errRate {
		t.Errorf("8 s after a batch of 10 s: %v", err)
	}
	now = now.Add(time.Second + 10*time.Millisecond)
	if err := submit("carol", 1); err != nil {
		t.Errorf("a little more than 9 s after it: %v", err)
	}
}

// TestLimiter_EvictsIdleClients checks that the state of a client without open requests
// is removed.
func TestLimiter_EvictsIdleClients(t *testing.T) {
	g := newLimiter(1000)
	now := time.Unix(1000, 0)
	for i := range 10 * evictFrom {
		name := limited{wire.RoleTask, fmt.Sprintf("client-%d", i)}
		if err := g.acquire(name, true, now); err != nil {
			t.Fatal(err)
		}
		g.charge(name, 1, now)
		g.release(name, now)
		now = now.Add(time.Millisecond)
	}
	if n := len(g.clients); n > evictFrom {
		t.Errorf("%d clients are remembered", n)
	}
	g = newLimiter(0)
	for i := range 100 {
		name := limited{wire.RoleTask, fmt.Sprintf("client-%d", i)}
		if err := g.acquire(name, true, now); err != nil {
			t.Fatal(err)
		}
		g.charge(name, 1, now)
		g.release(name, now)
	}
	if n := len(g.clients); n > 0 {
		t.Errorf("without a rate %d idle clients are remembered", n)
	}
}

// TestRefusalThrottle_SpreadsRefusalsAndFlushesAtClose checks that refusals are spread
// over time, and that close sends the rest.
func TestRefusalThrottle_SpreadsRefusalsAndFlushesAtClose(t *testing.T) {
	p := newRefusalThrottle()
	given := make(chan time.Time, 3*refusalCapacity)
	begin := time.Now()
	for range 3 * refusalsPerInterval {
		if !p.put(func() { given <- time.Now() }) {
			t.Fatal("not taken")
		}
	}
	var last time.Time
	for range 3 * refusalsPerInterval {
		last = testbed.Receive(t, given)
	}
	if took := last.Sub(begin); took < 2*refusalInterval {
		t.Errorf("%d refusals within %v", 3*refusalsPerInterval, took)
	}
	put := 0
	for p.put(func() { given <- time.Now() }) {
		put++
	}
	p.close()
	for range put {
		testbed.Receive(t, given)
	}
}

// TestLimiter_BoundsRequestsInFlightOfWorker checks that a worker is limited as a client is,
// apart from a client of its name.
func TestLimiter_BoundsRequestsInFlightOfWorker(t *testing.T) {
	s := New(nil, Options{})
	testbed.Run(t, s.Run)
	block := Endpoint{Verb: "report", handle: func(*call) {}} // answers nothing
	ask := func(role wire.Role, e Endpoint) answers {
		via := make(answers, 1)
		s.Serve(e, wire.Sender{Role: role, Name: "w1", Verb: e.Verb}, nil, via)
		return via
	}
	for range maxInFlight {
		ask(wire.RoleWorker, block)
	}
	if r := testbed.Receive(t, ask(wire.RoleWorker, block)); r.Err != errInFlight {
		t.Errorf("one request more: %+v", r)
	}
	answered := Endpoint{Verb: "get", handle: func(c *call) { c.reply(Reply{}) }}
	if r := testbed.Receive(t, ask(wire.RoleTask, answered)); r.Err != nil {
		t.Errorf("a client of that name: %v", r.Err)
	}
	for range maxInFlight {
		s.inFlight.Done() // so that Run can end
	}
}
