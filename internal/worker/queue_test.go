package worker

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aria-cluster/dispatcher/internal/worker/download"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// oneSlot runs a worker with one slot that holds two further tasks. The slot has the task
// "first".
func oneSlot(t *testing.T, dir string, change func(*Config, *node)) *node {
	t.Helper()
	n := start(t, dir, func(c *Config, n *node) {
		c.Slots, c.Prefetch = 1, 2
		if change != nil {
			change(c, n)
		}
	})
	n.give(assignment("first", 1))
	return n
}

func urgent(id string, p model.Priority) model.Assignment {
	a := assignment(id, 1)
	a.Task.Priority = p
	return a
}

// listed is what the last heartbeat lists, as "id status".
func (n *node) listed() []string {
	n.Helper()
	n.pass(6 * time.Second)
	var all []string
	for _, r := range n.link.lastBeat().Tasks {
		all = append(all, fmt.Sprint(r.ID, " ", r.Status))
	}
	return all
}

// A queued task is in the journal and in the heartbeats, and is not begun. A slot that
// becomes free takes the next one before the dispatcher has answered anything.
func TestQueue_FreeSlotBeginsTheNextTask(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := oneSlot(t, t.TempDir(), nil)
		n.give(urgent("low", model.PriorityLow), urgent("high", model.PriorityHigh))
		same(t, "it lists", n.listed(), []string{"first downloading", "high queued", "low queued"})
		same(t, "of", n.link.lastBeat().Prefetch, 2)
		same(t, "the journal has", n.journaled(), []string{"first", "high", "low"})
		same(t, "begun", n.parts(), []string{"first"})
		same(t, "slots in use", n.Figures().UsedSlots, 1)
		n.link.with(func() { n.link.report = deaf })
		n.engine.finish("first", map[string]string{"f": "1"})
		n.pass(time.Second)
		same(t, "begun", n.engine.has(), []string{"high"})
		n.engine.set("high", download.State{Phase: download.Failed})
		n.pass(time.Second)
		same(t, "calls of the engine", n.engine.log(), "add first, remove first, add high, remove high, add low")
		n.link.with(func() { n.link.report = nil })
		n.pass(time.Minute)
		same(t, "reports of the last", n.link.said("low")[0], "1 downloading")
		same(t, "it lists", n.listed(), []string{"low downloading"})
	})
}

// Tasks of one priority begin in the order in which they arrived.
func TestQueue_OldestOfAPriorityIsFirst(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := oneSlot(t, t.TempDir(), nil)
		n.give(assignment("z", 1))
		n.give(assignment("a", 1))
		n.engine.set("first", download.State{Phase: download.Failed})
		n.pass(time.Second)
		same(t, "begun", n.engine.has(), []string{"z"})
	})
}

// What a worker has no room for is refused, and what it has room for is not.
func TestQueue_TakesWhatItHasRoomFor(t *testing.T) {
	limited := assignment("x", 1)
	limited.TimeoutLeft = model.Seconds(60)
	next := assignment("x", 2)
	next.Task.URL = "http://example.net/"
	for _, test := range []struct {
		name string
		held []model.Assignment
		x    model.Assignment
		want string // what is listed of it
	}{
		{"room", nil, assignment("x", 1), "queued"},
		{"one place", []model.Assignment{assignment("b", 1)}, assignment("x", 1), "queued"},
		{"no place", []model.Assignment{assignment("b", 1), assignment("c", 1)}, assignment("x", 1), "all slots are in use (1), and all places to wait for one (2)"},
		{"a time limit", nil, limited, "all slots are in use (1)"},
		{"a later attempt", []model.Assignment{assignment("b", 1), assignment("x", 1)}, next, "queued"},
	} {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				n := oneSlot(t, t.TempDir(), nil)
				n.link.with(func() { n.link.report = deaf })
				n.give(test.held...)
				n.give(test.x)
				n.pass(6 * time.Second)
				got := ""
				for _, r := range n.link.lastBeat().Tasks {
					if r.ID == "x" && r.Attempt == test.x.Attempt {
						got = string(r.Status)
						if r.Error != nil {
							got = r.Error.Message
						}
					}
				}
				same(t, "of it", got, test.want)
				same(t, "begun", n.engine.has(), []string{"first"})
			})
		})
	}
}

// A task with a time limit takes a free slot before the queue.
func TestQueue_TimeLimitTakesAFreeSlot(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := start(t, t.TempDir(), func(c *Config, _ *node) { c.Slots, c.Prefetch = 1, 2 })
		limited := assignment("limited", 1)
		limited.TimeoutLeft = model.Seconds(60)
		n.give(urgent("urgent", model.PriorityUrgent), limited)
		same(t, "it lists", n.listed(), []string{"limited downloading", "urgent queued"})
	})
}

// A dropped task leaves the queue without a call to the engine; a kept partial file of an
// earlier attempt stays unless the task was canceled.
func TestQueue_DropRemovesTheTask(t *testing.T) {
	for _, test := range []struct {
		reason model.DropReason
		parts  []string
	}{
		{model.DropSuperseded, []string{"a", "first"}},
		{model.DropPaused, []string{"a", "first"}},
		{model.DropCanceled, []string{"first"}},
	} {
		t.Run(string(test.reason), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				n := oneSlot(t, t.TempDir(), nil)
				write(t, n.dir, partDir("a")+"/f.part", "half")
				n.give(assignment("a", 2))
				n.take("a", 2, test.reason)
				same(t, "it lists", n.listed(), []string{"first downloading"})
				same(t, "the journal has", n.journaled(), []string{"first"})
				same(t, "parts", n.parts(), test.parts)
				same(t, "calls of the engine", n.engine.log(), "add first")
				same(t, "reports", n.link.said("a"), nil)
				n.give(assignment("a", 2))
				same(t, "a late assignment is ignored", n.journaled(), []string{"first"})
			})
		})
	}
}

// After a kill the tasks that were begun are begun again, and the others stay queued.
func TestQueue_KillKeepsTheOrder(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := oneSlot(t, t.TempDir(), nil)
		older, newer := assignment("older", 1), assignment("newer", 1)
		older.Task.AssignedAt, newer.Task.AssignedAt = 1, 2
		n.give(older, newer)
		killed := t.TempDir()
		must(t, os.CopyFS(killed, os.DirFS(n.dir)))
		n.stop()

		n = start(t, killed, func(c *Config, _ *node) { c.Slots, c.Prefetch = 1, 2 })
		same(t, "the first heartbeat", []any{n.link.lastBeat().Tasks[1].ID, n.link.lastBeat().Tasks[1].Status}, []any{"newer", model.ReportQueued})
		n.pass(time.Second)
		same(t, "begun", n.engine.has(), []string{"first"})
		n.engine.finish("first", map[string]string{"f": "1"})
		n.pass(time.Second)
		same(t, "begun then", n.engine.has(), []string{"older"})
		same(t, "completed", n.link.lastReport("first").Status, model.ReportCompleted)
	})
}

// A worker that stops, runs out of disk or has a broken engine gives its queue back.
func TestQueue_IsGivenBackUnbegun(t *testing.T) {
	for _, test := range []struct {
		name string
		then func(n *node, free *atomic.Int64)
		said []string
	}{
		{"it stops", func(n *node, _ *atomic.Int64) { n.stop() }, nil},
		{"the disk is full", func(n *node, free *atomic.Int64) {
			free.Store(0)
			n.pass(3 * time.Second)
			same(n.T, "the worker is", n.link.lastBeat().State, model.StateDraining)
		}, []string{"1 rejected"}},
		{"the engine is silent", func(n *node, _ *atomic.Int64) {
			n.engine.with(func() { n.engine.pollErr = errors.New("aria2c is being restarted") })
			n.pass(35 * time.Second)
		}, []string{"1 rejected"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				var free atomic.Int64
				free.Store(1000)
				n := oneSlot(t, t.TempDir(), func(c *Config, n *node) {
					c.DiskFloor = 800
					n.free = func(context.Context, string) int64 { return free.Load() }
				})
				n.give(assignment("a", 1))
				test.then(n, &free)
				same(t, "reports", n.link.said("a"), test.said)
				for _, id := range n.journaled() {
					if id == "a" {
						t.Error("the journal still has it")
					}
				}
				for _, r := range n.link.lastBeat().Tasks {
					if r.ID == "a" && !r.Status.Finished() {
						t.Error("the last heartbeat still lists it")
					}
				}
			})
		})
	}
}

// A slot is free while the files of its download are placed, unless as many downloads as
// slots are placed already.
func TestQueue_PlacingFreesTheSlot(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := oneSlot(t, t.TempDir(), nil)
		n.give(assignment("second", 1), assignment("third", 1))
		n.engine.with(func() { n.engine.stuck = map[string]bool{"first": true} })
		n.engine.finish("first", map[string]string{"f": "1"})
		n.pass(3 * time.Second)
		same(t, "begun", n.engine.has(), []string{"first", "second"})
		n.engine.with(func() { n.engine.stuck["second"] = true })
		n.engine.finish("second", map[string]string{"f": "1"})
		n.pass(3 * time.Second)
		same(t, "begun", n.engine.has(), []string{"first", "second"})
		n.engine.with(func() { n.engine.stuck = nil })
		n.pass(5 * time.Second)
		same(t, "begun", n.engine.has(), []string{"third"})
		same(t, "files", files(t, n.dir), map[string]string{"first/f": "1", "second/f": "1"})
	})
}

// A slot is free while the engine checks the bytes of its download.
func TestQueue_CheckingFreesTheSlot(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := oneSlot(t, t.TempDir(), nil)
		n.give(assignment("second", 1), assignment("third", 1))
		n.engine.set("first", download.State{Completed: 4, Total: 5, Transferred: true})
		n.pass(time.Second)
		same(t, "begun", n.engine.has(), []string{"first", "second"})
		n.engine.set("first", download.State{Completed: 1, Total: 5}) // it is fetched again
		n.engine.finish("second", map[string]string{"f": "1"})
		n.pass(time.Second)
		same(t, "begun", n.engine.has(), []string{"first"})
	})
}

// Calls that wait share a sync. It begins when enough have joined or the time is over.
func TestSharedSync_WaitsForEnoughCalls(t *testing.T) {
	for _, test := range []struct {
		name  string
		tasks int
		want  time.Duration
	}{
		{"enough", 3, 0},
		{"too few", 4, 15 * time.Millisecond},
	} {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				var s sharedSync
				var syncs int
				sync := func() error { syncs++; return errors.New("broken") }
				gather := gathering{15 * time.Millisecond, test.tasks}
				_ = s.run(gather, sync) // the first one does not wait
				began := time.Now()
				errs := make(chan error)
				for range 3 {
					go func() { errs <- s.run(gather, sync) }()
				}
				for range 3 {
					if err := <-errs; err == nil {
						t.Error("the error of the sync is lost")
					}
				}
				same(t, "it took", time.Since(began), test.want)
				same(t, "syncs", syncs, 2)
			})
		})
	}
}
