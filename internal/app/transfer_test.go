package app

import (
	"context"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aria-cluster/dispatcher/internal/transfer"
	"github.com/aria-cluster/dispatcher/pkg/bus"
	"github.com/aria-cluster/dispatcher/pkg/model"
	"github.com/aria-cluster/dispatcher/pkg/repo"
	"github.com/aria-cluster/dispatcher/pkg/repo/memory"
	"github.com/aria-cluster/dispatcher/pkg/repo/sqlite"
)

// remote is the store of a running daemon, as migrate reaches it.
func remote(t *testing.T, d *Daemon, final bool) *transfer.RemoteStore {
	t.Helper()
	nc, err := bus.Connect(t.Context(), bus.Options{URL: d.Server().ClientURL()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	s, err := transfer.NewRemoteStore(nc, d.cfg.NATS.Prefix, final)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func openSQLite(t *testing.T, path string) *sqlite.Store {
	t.Helper()
	s, err := sqlite.Open(t.Context(), sqlite.Config{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() }) // the test is over
	return s
}

// filled is a store with tasks of every status, and workers that hold some.
func filled(t *testing.T, n int) *memory.Store {
	t.Helper()
	s := memory.New()
	var b model.Batch
	for i := range 5 {
		w := &model.Worker{ID: fmt.Sprint("old-", i), Instance: "i", Epoch: 1, Status: model.WorkerOnline, TotalSlots: n, ConnectedAt: 1000, LastHeartbeat: 2000}
		b.Workers = append(b.Workers, model.WorkerChange{ID: w.ID, Put: w})
	}
	for i := range n {
		task := &model.Task{
			TaskSpec: model.TaskSpec{
				ID: fmt.Sprint("task-", i), URL: fmt.Sprintf("https://u:secret@files.example/%d", i), Priority: model.PriorityNormal,
				MaxAttempts: 4, Labels: map[string]string{"n": fmt.Sprint(i)}, Options: model.Options{"header": {"Cookie: a"}},
			},
			Client: "shop", Seq: int64(i + 1), CreatedAt: model.Time(1000 + i), SpecHash: model.Hash{byte(i)},
			TaskState: model.TaskState{Status: model.Statuses[i%len(model.Statuses)], UpdatedAt: 5000},
		}
		if task.Status.Active() {
			task.Attempt, task.AssignedAt, task.WorkerID = 1, 3000, fmt.Sprint("old-", i%5)
		}
		b.Tasks = append(b.Tasks, model.TaskChange{ID: task.ID, Put: task})
	}
	if err := s.Commit(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
	return s
}

func digest(t *testing.T, s repo.Source) repo.Digest {
	t.Helper()
	snap, err := s.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	d, err := repo.DigestOf(t.Context(), snap)
	if err != nil {
		t.Fatal(err)
	}
	if err := snap.Close(); err != nil {
		t.Fatal(err)
	}
	return d
}

// TestTransfer_RoundTripKeepsDigest checks that a store that is imported and exported
// again is identical.
func TestTransfer_RoundTripKeepsDigest(t *testing.T) {
	d := newDaemon(t, testConfig(t))
	defer run(t, d)()
	src := filled(t, 3000)
	r := remote(t, d, false)
	stats, err := repo.Copy(t.Context(), src, r, repo.CopyOptions{})
	if err != nil || stats.TasksMigrated != 3000 || stats.WorkersMigrated != 5 || !stats.Verified {
		t.Fatalf("in: %+v, %v", stats, err)
	}
	stats, err = repo.Copy(t.Context(), src, r, repo.CopyOptions{})
	if err != nil || stats.TasksMigrated != 0 || stats.Skipped != 3005 {
		t.Errorf("a second run: %+v, %v; want that nothing changes", stats, err)
	}
	out := openSQLite(t, filepath.Join(t.TempDir(), "out.db"))
	if _, err := repo.Copy(t.Context(), r, repo.StoreTarget(out), repo.CopyOptions{}); err != nil {
		t.Fatal(err)
	}
	if a, b, c := digest(t, src), digest(t, out), digest(t, r); !a.Equal(b) || !a.Equal(c) {
		t.Errorf("source %v, at the end %v, running %v", a, b, c)
	}
}

// TestImport_TasksWaitForVerification checks that imported tasks are not assigned
// before the import is verified.
func TestImport_TasksWaitForVerification(t *testing.T) {
	d := newDaemon(t, testConfig(t))
	defer run(t, d)()
	r, c := remote(t, d, false), shop(t, d)
	link := heartbeats(t, d, "new")
	w, err := r.Begin(t.Context(), repo.CopyOptions{})
	if err != nil {
		t.Fatal(err)
	}
	task := &model.Task{
		TaskSpec: model.TaskSpec{ID: "moved", URL: "https://files.example/a", Priority: model.PriorityHigh, MaxAttempts: 1},
		Client:   "shop", Seq: 1, CreatedAt: 1000, TaskState: model.TaskState{Status: model.StatusPending, UpdatedAt: 1000},
	}
	records := []repo.Record{{Task: task}}
	if err := records[0].Encode(); err != nil {
		t.Fatal(err)
	}
	if done, err := w.Put(t.Context(), records); err != nil || done.Written != 1 {
		t.Fatalf("put: %+v, %v", done, err)
	}
	link()
	submit(t, d, "own") // other tasks are served meanwhile
	if own, err := c.Get(t.Context(), "own"); err != nil || own.Status != model.StatusQueued {
		t.Errorf("own: %+v, %v", own, err)
	}
	moved, err := c.Get(t.Context(), "moved")
	if err != nil || moved.Status != model.StatusPending || moved.Reason != "is held back until its import is verified" {
		t.Errorf("before the end: %+v, %v", moved, err)
	}
	var wrong, right repo.Digest
	if err := right.Add(&records[0]); err != nil {
		t.Fatal(err)
	}
	if got, err := w.Finish(t.Context(), wrong); err != nil || got.Equal(wrong) {
		t.Errorf("finish with another digest: %v, %v", got, err)
	}
	if moved, err = c.Get(t.Context(), "moved"); err != nil || moved.Status != model.StatusPending {
		t.Errorf("after a wrong digest: %+v, %v", moved, err)
	}
	if got, err := w.Finish(t.Context(), right); err != nil || !got.Equal(right) {
		t.Fatalf("finish: %v, %v", got, err)
	}
	if moved, err = c.Get(t.Context(), "moved"); err != nil || moved.Status != model.StatusQueued {
		t.Errorf("after the end: %+v, %v", moved, err)
	}
}

// heartbeats registers a worker with many slots; the returned function does it
// again.
func heartbeats(t *testing.T, d *Daemon, name string) func() {
	t.Helper()
	conn, err := bus.OpenConnection(t.Context(), bus.Options{URL: d.Server().ClientURL()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Drain(context.Background()) }) // the server may have ended first
	link, err := bus.NewWorkerLink(conn, d.cfg.NATS.Prefix, name, nil)
	if err != nil {
		t.Fatal(err)
	}
	beat := func() {
		t.Helper()
		_, err := link.Heartbeat(t.Context(), &model.Heartbeat{
			WorkerID: name, Instance: "i", Epoch: 1, State: model.StateReady, TotalSlots: 100,
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	beat()
	return beat
}

// TestExport_LiveDispatcherLosesNothingAcknowledged checks that an export under load
// has every acknowledged task.
func TestExport_LiveDispatcherLosesNothingAcknowledged(t *testing.T) {
	d := newDaemon(t, testConfig(t))
	defer run(t, d)()
	c := shop(t, d)
	var acknowledged atomic.Int64
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	for g := range 4 {
		go func() {
			defer func() { ended <- struct{}{} }()
			for n := 0; ctx.Err() == nil; n++ {
				if _, err := c.Submit(ctx, &model.TaskSpec{ID: fmt.Sprintf("g%d-%d", g, n), URL: "https://files.example/a"}); err == nil {
					acknowledged.Add(1)
				}
			}
		}()
	}
	for acknowledged.Load() < 500 {
		<-time.After(time.Millisecond)
	}
	before := acknowledged.Load()
	r := remote(t, d, true)
	target := openSQLite(t, filepath.Join(t.TempDir(), "saved.db"))
	stats, err := repo.Copy(t.Context(), r, repo.StoreTarget(target), repo.CopyOptions{})
	if err != nil || stats.TasksMigrated < before {
		t.Fatalf("%+v, %v; %d were acknowledged before", stats, err, before)
	}
	// Final: what is acknowledged in the end is in the copy, all of it.
	stop()
	for range 4 {
		<-ended
	}
	counts, err := target.Counts(t.Context())
	if err != nil || counts.Total() < acknowledged.Load() {
		t.Errorf("the copy has %d tasks, %d were acknowledged (%v)", counts.Total(), acknowledged.Load(), err)
	}
	if _, err := c.Submit(t.Context(), &model.TaskSpec{URL: "https://files.example/late"}); model.CodeOf(err) != model.CodeUnavailable {
		t.Errorf("a submit after the final snapshot: %v, want 503", err)
	}
	if _, err := c.Get(t.Context(), "g0-0"); err != nil {
		t.Errorf("reading after the final snapshot: %v", err)
	}
	if err := r.Thaw(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Submit(t.Context(), &model.TaskSpec{URL: "https://files.example/late"}); err != nil {
		t.Errorf("a submit after the copy was given up: %v", err)
	}
}
