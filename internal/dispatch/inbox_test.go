package dispatch

import (
	"fmt"
	"testing"

	"github.com/aria-cluster/dispatcher/internal/engine"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// submits makes a call of n submits of a client, whose ids say their order.
func submits(client string, first, n int) *call {
	c := &call{}
	for i := range n {
		c.ops = append(c.ops, engine.Submit{Client: client, Spec: &model.TaskSpec{ID: fmt.Sprint(client, first+i)}})
	}
	return c
}

// takenBy is one batch: how many operations of each client.
func takenBy(b *inbox, room int) map[string]int {
	batch := batch{room: room}
	b.take(&batch)
	counts := make(map[string]int)
	for _, e := range batch.events {
		counts[e.(engine.Submit).Client]++
	}
	return counts
}

// Who asks for little does not wait behind who asks for much.
func TestInbox_SmallClientDoesNotWaitForLarge(t *testing.T) {
	b := newInbox(1000)
	if !b.put(submits("flood", 0, 900)) || !b.put(submits("alice", 0, 1)) || !b.put(submits("bob", 0, 2)) {
		t.Fatal("not taken in")
	}
	if got := takenBy(b, 80); got["alice"] != 1 || got["bob"] != 2 || got["flood"] != 10 {
		t.Errorf("the first turn: %v", got)
	}
	if got := takenBy(b, 80); got["flood"] != 10 { // the others may be back at once
		t.Errorf("the second turn: %v", got)
	}
	if got := takenBy(b, 80); got["flood"] != 80 {
		t.Errorf("alone: %v", got)
	}
}

// Clients keep a quarter of a turn beside a flood of workers.
func TestInbox_ClientsKeepQuarterDuringWorkerFlood(t *testing.T) {
	b := newInbox(8 * maxBatch)
	for range 2000 {
		if !b.put(&call{ops: []engine.Event{heartbeat(1)}}) {
			t.Fatal("not taken in")
		}
	}
	taken := func() (beats, submits int) {
		batch := batch{room: maxBatch}
		b.take(&batch)
		for _, ev := range batch.events {
			if _, ok := ev.(engine.Submit); ok {
				submits++
			} else {
				beats++
			}
		}
		return beats, submits
	}
	if !b.put(submits("shop", 0, 300)) {
		t.Fatal("not taken in")
	}
	const quarter = maxBatch / 4
	if beats, submits := taken(); beats != maxBatch-quarter || submits != quarter {
		t.Errorf("the first turn: %d heartbeats, %d submits", beats, submits)
	}
	if beats, submits := taken(); beats != maxBatch-44 || submits != 44 {
		t.Errorf("the second turn: %d heartbeats, %d submits", beats, submits)
	}
}

// A client that fills the inbox keeps no other client out.
func TestInbox_FullLaneAdmitsSmallClients(t *testing.T) {
	b := newInbox(1600)
	for i := 0; b.put(submits("flood", i, 1)); i++ {
		if i > 1600 {
			t.Fatal("it takes in more than its limit of one client")
		}
	}
	others := 0
	for b.put(submits(fmt.Sprintf("client-%d", others%50), 0, 1)) {
		if others++; others > 1600 {
			t.Fatal("it takes in more than twice its limit")
		}
	}
	if others != 1600 {
		t.Errorf("%d of others were taken in beside a flood", others)
	}
	if b.put(submits("flood", 0, 1)) {
		t.Error("the flood is let in again before there is room")
	}
}

// A worker that fills the lane of the workers keeps no other worker out, and delays none.
func TestInbox_WorkerFloodDelaysNoOtherWorker(t *testing.T) {
	b := newInbox(1600)
	beat := func(worker string) *call {
		return &call{ops: []engine.Event{engine.Heartbeat{Heartbeat: &model.Heartbeat{WorkerID: worker}}}}
	}
	flood := 0
	for b.put(beat("flood")) {
		if flood++; flood > 1600 {
			t.Fatal("it takes in more than its limit of one worker")
		}
	}
	for i := range 20 {
		if !b.put(beat(fmt.Sprint("w", i))) {
			t.Fatalf("the heartbeat of worker %d is refused beside a flood", i)
		}
	}
	batch := batch{room: 100}
	b.take(&batch)
	others := 0
	for _, ev := range batch.events {
		if ev.(engine.Heartbeat).WorkerID != "flood" {
			others++
		}
	}
	if others != 20 {
		t.Errorf("the first turn has %d of 20 other workers", others)
	}
}

// The operations of one client keep their order.
func TestInbox_ClientOperationsKeepOrder(t *testing.T) {
	b := newInbox(1000)
	for i := range 30 {
		for _, client := range []string{"a", "b", "c"} {
			if !b.put(submits(client, 10*i, 10)) {
				t.Fatal("not taken in")
			}
		}
	}
	next := make(map[string]int)
	for b.waiting() {
		batch := batch{room: 70}
		b.take(&batch)
		for i, e := range batch.events {
			s := e.(engine.Submit)
			if want := fmt.Sprint(s.Client, next[s.Client]); s.Spec.ID != want {
				t.Fatalf("%s instead of %s", s.Spec.ID, want)
			}
			if p := batch.refs[i]; p.call.ops[p.at].(engine.Submit).Spec != s.Spec {
				t.Fatal("a part does not belong to its event")
			}
			next[s.Client]++
		}
	}
	if next["a"] != 300 || next["b"] != 300 || next["c"] != 300 {
		t.Errorf("taken: %v", next)
	}
	if l := &b.lanes[engine.LaneClients]; l.weight != 0 || len(l.queues) != 0 {
		t.Errorf("an empty lane weighs %d and remembers %d clients", l.weight, len(l.queues))
	}
}
