package dispatch

import (
	"sync/atomic"
	"testing"
)

// TestTurn_RegainedConnectionAsksForHeartbeats checks that each worker is asked for a
// heartbeat after an outage: an answer that was lost in it would otherwise cost the
// worker the time of a call, and with a short timeout its tasks.
func TestTurn_RegainedConnectionAsksForHeartbeats(t *testing.T) {
	store := newStore()
	f := newFixture(t, store, store)
	var connected atomic.Bool
	connected.Store(true)
	f.cfg.Connected = connected.Load
	f.run()
	f.do(heartbeat(1))
	f.do(submit("before"))
	connected.Store(false)
	f.do(submit("meanwhile"))
	if f.sent.has("nudge w1") {
		t.Fatal("w1 is asked without need")
	}
	connected.Store(true)
	f.do(submit("after"))
	if !f.sent.has("nudge w1") {
		t.Errorf("w1 is not asked after the outage: %q", f.sent.words)
	}
}
