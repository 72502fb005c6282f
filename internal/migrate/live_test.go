package migrate

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/aria-cluster/dispatcher/pkg/bus"
	"github.com/aria-cluster/dispatcher/pkg/model"
	"github.com/aria-cluster/dispatcher/pkg/repo/sqlite"
)

// load submits at a steady rate and knows what was acknowledged.
type load struct {
	nc    *nats.Conn
	mu    sync.Mutex
	acked []string
}

// run submits rate tasks a second until ctx ends, in slices of 10 ms, without
// waiting for one answer before the next request.
func (l *load) run(ctx context.Context, t *testing.T, rate int) {
	inbox := nats.NewInbox()
	sub, err := l.nc.Subscribe(inbox+".*", func(m *nats.Msg) {
		if m.Header.Get("Nats-Service-Error-Code") == "" {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.acked = append(l.acked, m.Subject[len(inbox)+1:])
		}
	})
	if err != nil {
		t.Error(err)
		return
	}
	defer sub.Unsubscribe()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	begin, n := time.Now(), 0
	for ctx.Err() == nil {
		<-tick.C
		for due := int(time.Since(begin).Seconds() * float64(rate)); n < due; n++ {
			id := fmt.Sprintf("live-%d", n)
			err := l.nc.PublishRequest("aria.v1.req.task.shop.submit", inbox+"."+id, []byte(`{"id":"`+id+`","url":"https://files.example/`+id+`"}`))
			if err != nil {
				t.Error(err)
				return
			}
		}
	}
}

func (l *load) acknowledged() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string(nil), l.acked...)
}

// TestExport_LoadedDispatcherIsCopiedCompletely submits 2,000 tasks a second to a
// dispatcher in memory, with a worker that holds some, and migrates it to SQLite
// meanwhile: what was acknowledged before the snapshot is there once, with its
// relation to the worker, and the dispatcher keeps serving.
func TestExport_LoadedDispatcherIsCopiedCompletely(t *testing.T) {
	dir := t.TempDir()
	url, _ := dispatcher(t, t.TempDir())
	nc, err := nats.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	conn, err := bus.OpenConnection(t.Context(), bus.Options{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Drain(t.Context()) }() // nothing is lost by it
	link, err := bus.NewWorkerLink(conn, "aria.v1", "w1", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := link.Heartbeat(t.Context(), &model.Heartbeat{WorkerID: "w1", Instance: "i", Epoch: 1, State: model.StateReady, TotalSlots: 500}); err != nil {
		t.Fatal(err)
	}
	const rate = 2000
	l := &load{nc: nc}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ended := make(chan struct{})
	go func() { l.run(ctx, t, rate); close(ended) }()
	for len(l.acknowledged()) < 2*rate {
		<-time.After(10 * time.Millisecond)
	}
	before := l.acknowledged()
	begin := time.Now()
	r := moved(t, dir, "--source", "memory", "--target", "sqlite", "--sqlite-path", "saved.db", "--nats", url)
	took := time.Since(begin)
	during := len(l.acknowledged()) - len(before)
	t.Logf("%d tasks were saved in %v; meanwhile %.0f a second were acknowledged", r.TasksMigrated, took, float64(during)/took.Seconds())
	if during == 0 {
		t.Error("nothing was acknowledged during the copy")
	}
	stop()
	<-ended

	must(t, dir, "verify", "saved.db") // integrity, counters, and tasks and workers pointing to each other
	s, err := sqlite.OpenReadOnly(t.Context(), filepath.Join(dir, "saved.db"))
	if err != nil {
		t.Fatal(err)
	}
	snap, err := s.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer snap.Close()
	saved, held := make(map[string]int), 0
	for task, err := range snap.Tasks(t.Context(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		saved[task.ID]++
		if task.WorkerID == "w1" {
			held++
		}
	}
	for _, id := range before {
		if saved[id] != 1 {
			t.Fatalf("%s was acknowledged before the copy and is there %d times", id, saved[id])
		}
	}
	workers, err := snap.Workers(t.Context())
	if err != nil || len(workers) != 1 || held != 500 || len(workers[0].CurrentTasks) != held {
		t.Errorf("the worker holds %d tasks; in the copy %d name it (%d workers, %v)", len(workers[0].CurrentTasks), held, len(workers), err)
	}
}
