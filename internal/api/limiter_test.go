package api

import (
	"fmt"
	"testing"
	"time"

	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// TestLimiter_AppliesRateToEachClient checks that each client has a rate of its own.
func TestLimiter_AppliesRateToEachClient(t *testing.T) {
	g := newLimiter(100)
	now := time.Unix(1000, 0)
	submit := func(client string, tasks int) *model.Error {
		t.Helper()
		err := g.acquire(client, true, now)
		if err == nil {
			g.charge(client, tasks, now)
			g.release(client, now)
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
	if err := g.acquire("alice", false, now); err != nil {
		t.Errorf("a get: %v", err)
	}
	g.release("alice", now)
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
		name := fmt.Sprintf("client-%d", i)
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
		name := fmt.Sprintf("client-%d", i)
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
