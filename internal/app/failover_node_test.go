package app_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/pkg/bus"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

const (
	nodeSlots = 400
	// nodePatience bounds each request of a node: a leader that was stopped answers none.
	nodePatience = 2 * time.Second
)

// node is a worker that downloads nothing: each of its tasks takes half a second.
type node struct {
	*testing.T
	link    *bus.WorkerLink
	ignored atomic.Int64 // messages of a deposed leader
	soon    chan struct{}

	mu    sync.Mutex
	leave context.CancelFunc // ends the requests to the leader before; a new one asks for a heartbeat
	at    context.Context    // of the requests
	term  model.HighestTerm
	seq   int64
	tasks map[string]*model.Report
	begun map[string]int
}

func startNode(t *testing.T, url string) *node {
	t.Helper()
	conn, err := bus.OpenConnection(testbed.Context(t), bus.Options{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	k := &node{T: t, soon: make(chan struct{}, 1), tasks: make(map[string]*model.Report), begun: make(map[string]int)}
	k.at, k.leave = context.WithCancel(context.Background())
	if k.link, err = bus.NewWorkerLink(conn, bus.DefaultPrefix, "w1", nil); err != nil {
		t.Fatal(err)
	}
	stop, err := k.link.Listen(k.obey, func() {})
	if err != nil {
		t.Fatal(err)
	}
	ended, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			k.beat()
			select {
			case <-ended:
				return
			case <-k.soon:
			case <-time.After(time.Second):
			}
		}
	}()
	t.Cleanup(func() {
		stop()
		close(ended)
		<-done
		_ = conn.Drain(testbed.Context(t)) // nothing is lost by it
	})
	return k
}

// obeys reports whether a message is of a leader; callers hold mu.
func (k *node) obeys(term int64) bool {
	if term == 0 {
		k.Error("a message has no term")
	}
	if !k.term.Obeys(term) {
		k.ignored.Add(1)
		return false
	}
	return true
}

func (k *node) obey(c *model.Command) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.obeys(c.Term) {
		return
	}
	if len(c.Assign)+len(c.Drop) == 0 {
		k.leave()
		k.at, k.leave = context.WithCancel(context.Background())
		select {
		case k.soon <- struct{}{}:
		default:
		}
	}
	k.apply(c.Assign, c.Drop)
}

// apply begins and drops tasks; callers hold mu.
func (k *node) apply(assign []model.Assignment, drop []model.Drop) {
	for _, d := range drop {
		if held := k.tasks[d.ID]; held != nil && held.Attempt == d.Attempt {
			k.Logf("%s#%d is dropped: %s", d.ID, d.Attempt, d.Reason)
			delete(k.tasks, d.ID)
		}
	}
	for _, a := range assign {
		id := a.Task.ID
		if held := k.tasks[id]; held != nil || k.begun[id] > 0 && a.Attempt == 1 {
			continue // it is known, or late
		}
		k.begun[id]++
		k.tasks[id] = &model.Report{ID: id, Attempt: a.Attempt, Status: model.ReportDownloading}
		time.AfterFunc(500*time.Millisecond, func() { k.finish(id, a.Attempt) })
	}
}

// finish reports the end of a task until it is acknowledged.
func (k *node) finish(id string, attempt int64) {
	k.mu.Lock()
	held := k.tasks[id]
	if held == nil || held.Attempt != attempt {
		k.mu.Unlock()
		return
	}
	held.Status, held.Progress, held.Result = model.ReportCompleted, 100, &model.Result{TotalLength: 1, WorkerID: "w1"}
	r := *held
	ctx, cancel := context.WithTimeout(k.at, nodePatience)
	defer cancel()
	k.mu.Unlock()
	a, err := k.link.Report(ctx, []model.Report{r})
	k.mu.Lock()
	defer k.mu.Unlock()
	if err == nil && k.obeys(a.Term) {
		k.apply(nil, a.Drop)
		if a.Verdicts[0] == nil {
			delete(k.tasks, id)
			return
		}
	}
	time.AfterFunc(200*time.Millisecond, func() { k.finish(id, attempt) })
}

func (k *node) beat() {
	k.mu.Lock()
	k.seq++
	h := &model.Heartbeat{
		WorkerID: "w1", Instance: "i", Epoch: 1, Seq: k.seq, State: model.StateReady, TotalSlots: nodeSlots,
		Capabilities: model.Capabilities{Protocols: []string{"https"}, DiskSpace: 1 << 40}, HealthMetrics: model.HealthMetrics{DiskFree: 1 << 40},
		Tasks: []model.Report{},
	}
	for _, r := range k.tasks {
		h.Tasks = append(h.Tasks, *r)
	}
	ctx, cancel := context.WithTimeout(k.at, nodePatience)
	defer cancel()
	k.mu.Unlock()
	a, err := k.link.Heartbeat(ctx, h)
	if err != nil {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.obeys(a.Term) {
		return
	}
	for _, f := range a.Forget {
		if held := k.tasks[f.ID]; held != nil && held.Attempt == f.Attempt {
			delete(k.tasks, f.ID)
		}
	}
	k.apply(a.Assign, a.Drop)
}

// begunTwice returns the tasks that began more than once.
func (k *node) begunTwice() (ids []string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for id, n := range k.begun {
		if n > 1 {
			ids = append(ids, id)
		}
	}
	return ids
}
