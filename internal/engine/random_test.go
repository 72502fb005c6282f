package engine

import (
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/aria-cluster/dispatcher/internal/engine/placement"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

var seeds = flag.Uint64("seeds", 200, "how many random histories are played")

// TestEngine_RandomHistoriesStayConsistent gives the engine arbitrary, also contradictory, events. The
// world checks after each turn that engine and store agree; here is checked what
// must hold over time: an attempt is given out once, a completed task is not
// assigned again, and whichever worker works honestly is not given more than its slots.
func TestEngine_RandomHistoriesStayConsistent(t *testing.T) {
	for seed := range *seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 1))
			h := &history{
				world: newWorld(t, anyConfig(r)), rand: r,
				given: map[string]bool{}, done: map[string]bool{}, waits: map[string]model.Time{}, asked: map[string]bool{},
			}
			for range 300 {
				h.step()
			}
		})
	}
}

// anyConfig draws the rules that a history is played by.
func anyConfig(r *rand.Rand) Config {
	c := testConfig()
	c.Strategy = []placement.Strategy{
		placement.StrategyLeastLoaded, placement.StrategyRoundRobin, placement.StrategyRandom, placement.StrategyTags,
	}[r.IntN(4)]
	c.Ageing = model.Seconds(float64(r.IntN(2) * r.IntN(100)))
	c.PerHost = r.IntN(2) * r.IntN(3)
	c.Hosts = []map[string]int{nil, {"files.example": 2}, {"files.example": 1, "mirror.example": 0}}[r.IntN(3)]
	c.ClientPending = int64(r.IntN(2) * 5)
	c.RetainIDs = model.Seconds(float64(r.IntN(2) * 60))
	return c
}

type history struct {
	*world
	rand  *rand.Rand
	given map[string]bool // "task#attempt" → assigned
	done  map[string]bool
	waits map[string]model.Time // client@host → until when the host asked for a wait, on the steady clock
	asked map[string]bool       // client@host → it ever did
}

func (h *history) step() {
	switch h.rand.IntN(12) {
	case 0:
		h.restart()
		clear(h.waits) // it takes over only what pending tasks wait for
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
	updated := map[string]bool{} // an update gives a new attempt in the old one's slot
	for _, ev := range events {
		if u, ok := ev.(Update); ok {
			updated[u.ID] = true
		}
	}
	h.noteAsked(events)
	answers, plan := h.turn(events...)
	h.forgetDeleted(events, answers, false)
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
		if w := h.engine.workers[a.Worker]; w != nil && w.held() > w.TotalSlots+w.Prefetch && !updated[a.Task] {
			h.t.Fatalf("%s: it has %d tasks, in %d slots and %d ahead", key, w.held(), w.TotalSlots, w.Prefetch)
		}
		h.given[key] = true
		if row := h.tasks[a.Task]; row != nil && h.now < h.waits[row.Client+"@"+row.Host()] {
			h.t.Fatalf("%s: it begins before the wait of its host is over", key)
		}
	}
	h.checkWaits(&plan, updated)
	for _, ev := range plan.Tasks {
		if ev.Attempt == 0 { // a new task
			delete(h.done, ev.ID)
		}
		if h.done[ev.ID] {
			h.t.Fatalf("task %s is %s after it was completed", ev.ID, ev.Status)
		}
		h.done[ev.ID] = ev.Status == model.StatusCompleted
	}
	h.forgetDeleted(events, answers, true) // it may have completed in this very turn
}

// noteAsked notes which hosts ask which clients to wait, in a turn that is to come.
func (h *history) noteAsked(events []Event) {
	var reports []model.Report
	for _, ev := range events {
		switch ev := ev.(type) {
		case Report:
			reports = append(reports, ev.Report)
		case Heartbeat:
			reports = append(reports, ev.Tasks...)
		case Update:
			if row := h.tasks[ev.ID]; row != nil && ev.Change.URL != nil { // a report of the same turn may be about it
				h.asked[row.Client+"@new.example"] = true
			}
		}
	}
	for i := range reports {
		if row := h.tasks[reports[i].ID]; row != nil && reports[i].RetryAfter > 0 {
			h.asked[row.Client+"@"+row.Host()] = true
		}
	}
}

// checkWaits notes the waits that hosts have asked for, and fails for a task that waits
// at a host which never asked its client to.
func (h *history) checkWaits(plan *Plan, updated map[string]bool) {
	for _, ev := range plan.Tasks {
		row := h.tasks[ev.ID]
		if row == nil || row.Error == nil || row.Error.RetryAfter == 0 {
			continue
		}
		key := row.Client + "@" + row.Host()
		if ev.Status == model.StatusPending && row.RetryAt > h.clock().Wall && !updated[ev.ID] {
			h.waits[key] = h.now.Add(model.Seconds(float64(row.Error.RetryAfter)))
		}
	}
	for id, t := range h.engine.tasks {
		_, cooling := t.Cooldown()
		if row := h.tasks[id]; cooling && !h.asked[row.Client+"@"+row.Host()] {
			h.t.Fatalf("%s of %s waits for %s, which never asked for it", id, row.Client, row.Host())
		}
	}
}

// forgetDeleted is for ids that may be used again; after the turn's own words are
// looked at, only for those that were not.
func (h *history) forgetDeleted(events []Event, answers []Answer, after bool) {
	for i, ev := range events {
		if d, ok := ev.(Delete); ok && answers[i].Err == nil && (!after || h.tasks[d.ID] == nil) {
			delete(h.done, d.ID)
			h.forget(d.ID)
		}
	}
}

func (h *history) forget(id string) {
	for key := range h.given {
		if strings.HasPrefix(key, id+"#") {
			delete(h.given, key)
		}
	}
}

func worker3(n int) string { return []string{"w1", "w2", "w3"}[n] }

func (h *history) any() Event {
	task := func() string { return fmt.Sprintf("t%d", h.rand.IntN(12)) }
	client := func() string { return []string{"shop", "shop", "bank"}[h.rand.IntN(3)] }
	said := func() model.Report {
		id := task()
		attempt := int64(1 + h.rand.IntN(4))
		if row := h.tasks[id]; row != nil && h.rand.IntN(4) > 0 {
			attempt = max(row.Attempt, 1)
		}
		what := []string{"downloading:50", "downloading:60", "completed", "failed:retryable", "failed:retryable+40", "failed:permanent", "failed:worker", "failed:retryable:3000000", "downloading:70:3000000", "rejected", "paused", "queued", "queued", "queued"}
		return h.said(fmt.Sprintf("%s#%d:%s", id, attempt, what[h.rand.IntN(len(what))]))
	}
	switch h.rand.IntN(14) {
	case 0, 1, 2:
		s := spec(task())
		s.URL = strings.Replace(s.URL, "files", []string{"files", "mirror", "FILES"}[h.rand.IntN(3)], 1)
		s.Priority = model.Priority(1 + h.rand.IntN(4))
		if h.rand.IntN(4) == 0 {
			s.Tags = map[string]string{"location": "eu"}
		}
		if h.rand.IntN(4) == 0 {
			s.Timeout = model.Seconds(30)
		}
		return Submit{Client: client(), Spec: s, Hash: s.Hash(), Chosen: true}
	case 3:
		return Cancel{Client: client(), ID: task()}
	case 10, 11, 12:
		return h.verb(client(), task())
	case 4, 5:
		return Report{Worker: worker3(h.rand.IntN(3)), Report: said()}
	case 6, 7, 8:
		beat := &model.Heartbeat{
			WorkerID: worker3(h.rand.IntN(3)), Instance: "i", Epoch: 1, Seq: h.seq(), TotalSlots: h.rand.IntN(4), Prefetch: h.rand.IntN(2) * h.rand.IntN(4),
			State: []model.WorkerState{model.StateReady, model.StateReady, model.StateReady, model.StateDraining, model.StateLeaving}[h.rand.IntN(5)],
		}
		if h.rand.IntN(2) == 0 {
			beat.Capabilities.Tags = map[string]string{"location": "eu"}
		}
		beat.HealthMetrics.DiskFree = int64(h.rand.IntN(3)) * 2_000_000
		if h.rand.IntN(20) == 0 {
			beat.HealthMetrics = model.HealthMetrics{CPUUsage: 100, MemoryUsage: 100, DiskUsage: 100, ErrorCount: 1}
		}
		for range h.rand.IntN(5) {
			beat.Tasks = append(beat.Tasks, said())
		}
		if h.rand.IntN(3) == 0 { // what it holds, not begun
			for _, id := range slices.Sorted(maps.Keys(h.tasks)) {
				if row := h.tasks[id]; row.WorkerID == beat.WorkerID {
					beat.Tasks = append(beat.Tasks, h.said(fmt.Sprintf("%s#%d:queued", id, row.Attempt)))
				}
			}
		}
		return Heartbeat{beat}
	}
	return Tick{}
}

// verb is something that clients and operators ask for.
func (h *history) verb(client, id string) Event {
	if h.rand.IntN(4) == 0 {
		client = "" // an operator
	}
	switch h.rand.IntN(12) {
	case 0, 1:
		return Pause{Client: client, ID: id}
	case 2, 3, 4:
		return Resume{Client: client, ID: id}
	case 5:
		return Retry{Client: client, ID: id}
	case 6:
		return Delete{Client: client, ID: id, Files: h.rand.IntN(2) == 0}
	case 7:
		return DrainWorker{worker3(h.rand.IntN(3))}
	case 8:
		return ResumeWorker{worker3(h.rand.IntN(3))}
	case 9:
		return RemoveWorker{worker3(h.rand.IntN(3)), h.rand.IntN(3) == 0}
	}
	u := &model.TaskUpdate{}
	p, url := model.Priority(1+h.rand.IntN(4)), "https://new.example/"+id
	tags := []map[string]string{nil, {"location": "eu"}, {"location": "us"}}[h.rand.IntN(3)]
	switch h.rand.IntN(3) {
	case 0:
		u.Priority = &p
	case 1:
		u.URL = &url
	case 2:
		u.Tags = &tags
	}
	return Update{Client: client, ID: id, Change: u}
}

// seq rises, repeats now and then, and sometimes falls back.
func (h *history) seq() int64 {
	h.beats += h.rand.IntN(3)
	return int64(max(h.beats-h.rand.IntN(2)*h.rand.IntN(2), 1))
}
