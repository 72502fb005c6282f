package engine

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

var seeds = flag.Uint64("seeds", 200, "how many random histories are played")

// TestRandomHistories gives the engine arbitrary, also contradictory, events. The
// world checks after each turn that engine and store agree; here is checked what
// must hold over time: an attempt is given out once, a completed task is not
// assigned again, and whoever works honestly is not given more than its slots.
func TestRandomHistories(t *testing.T) {
	for seed := range *seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			h := &history{
				world: newWorld(t, testConfig()), rand: rand.New(rand.NewPCG(seed, 1)),
				given: map[string]bool{}, done: map[string]bool{},
			}
			for range 300 {
				h.step()
			}
		})
	}
}

type history struct {
	*world
	rand  *rand.Rand
	given map[string]bool // "task#attempt" → assigned
	done  map[string]bool
}

func (h *history) step() {
	switch h.rand.IntN(12) {
	case 0:
		h.restart()
	case 1:
		h.offline = !h.offline
	case 4:
		h.ahead += model.Time(h.rand.IntN(200_000) - 100_000)
	case 2, 3:
		h.now += model.Time(h.rand.IntN(20_000))
	}
	events := make([]Event, 1+h.rand.IntN(4))
	for i := range events {
		events[i] = h.any()
	}
	_, plan := h.turn(events...)
	for _, a := range plan.Assign {
		key := fmt.Sprintf("%s#%d to %s", a.Task, a.Attempt, a.Worker)
		if h.done[a.Task] {
			h.t.Fatalf("%s: it was completed before", key)
		}
		if h.given[key] {
			continue // sent again
		}
		for n := range 3 {
			if other := fmt.Sprintf("%s#%d to %s", a.Task, a.Attempt, worker3(n)); h.given[other] {
				h.t.Fatalf("%s, and before: %s", key, other)
			}
		}
		if w := h.engine.workers[a.Worker]; w.used() > w.TotalSlots {
			h.t.Fatalf("%s: it has %d tasks in %d slots", key, w.used(), w.TotalSlots)
		}
		h.given[key] = true
	}
	for _, ev := range plan.Tasks {
		if h.done[ev.ID] {
			h.t.Fatalf("task %s is %s after it was completed", ev.ID, ev.Status)
		}
		h.done[ev.ID] = ev.Status == model.StatusCompleted
	}
}

func worker3(n int) string { return []string{"w1", "w2", "w3"}[n] }

func (h *history) any() Event {
	task := func() string { return fmt.Sprintf("t%d", h.rand.IntN(12)) }
	said := func() model.Report {
		id := task()
		attempt := int64(1 + h.rand.IntN(4))
		if row := h.tasks[id]; row != nil && h.rand.IntN(4) > 0 {
			attempt = max(row.Attempt, 1)
		}
		what := []string{"downloading:50", "downloading:60", "completed", "failed:retryable", "failed:permanent", "failed:worker", "rejected", "paused"}
		return h.said(fmt.Sprintf("%s#%d:%s", id, attempt, what[h.rand.IntN(len(what))]))
	}
	switch h.rand.IntN(10) {
	case 0, 1, 2:
		s := spec(task())
		s.Priority = model.Priority(1 + h.rand.IntN(4))
		if h.rand.IntN(4) == 0 {
			s.Tags = map[string]string{"location": "eu"}
		}
		if h.rand.IntN(4) == 0 {
			s.Timeout = model.Seconds(30)
		}
		return Submit{Client: "shop", Spec: s, Hash: s.Hash(), Chosen: true}
	case 3:
		return Cancel{Client: "shop", ID: task()}
	case 4, 5:
		return Report{Worker: worker3(h.rand.IntN(3)), Report: said()}
	case 6, 7, 8:
		beat := &model.Heartbeat{
			WorkerID: worker3(h.rand.IntN(3)), Instance: "i", Epoch: 1, Seq: h.seq(), TotalSlots: h.rand.IntN(4),
			State: []model.WorkerState{model.StateReady, model.StateReady, model.StateReady, model.StateDraining, model.StateLeaving}[h.rand.IntN(5)],
		}
		if h.rand.IntN(2) == 0 {
			beat.Capabilities.Tags = map[string]string{"location": "eu"}
		}
		for range h.rand.IntN(5) {
			beat.Tasks = append(beat.Tasks, said())
		}
		return Heartbeat{beat}
	}
	return Tick{}
}

// seq rises, repeats now and then, and sometimes falls back.
func (h *history) seq() int64 {
	h.beats += h.rand.IntN(3)
	return int64(max(h.beats-h.rand.IntN(2)*h.rand.IntN(2), 1))
}
