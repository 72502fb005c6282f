package app

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"

	"github.com/aria-cluster/dispatcher/internal/app/node"
	"github.com/aria-cluster/dispatcher/internal/app/process"
	"github.com/aria-cluster/dispatcher/internal/config"
	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/internal/testbed/testnats"
	"github.com/aria-cluster/dispatcher/pkg/bus"
	"github.com/aria-cluster/dispatcher/pkg/bus/client"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// external is a daemon at a NATS server of its own, and a worker.
type external struct {
	*testnats.Configured
	d    *Daemon
	shop *client.Client
	nc   *nats.Conn
	stop func() // ends worker and dispatcher, to be deferred
}

// startExternal starts all of them, with these seed files or without.
func startExternal(t *testing.T, natsConfig, dispatcherKey, workerKey, clientKey string) *external {
	t.Helper()
	x := &external{Configured: testnats.StartConfigured(t, natsConfig)}
	c := testConfig(t)
	c.NATS.URL, c.NATS.NKey = config.URLs(x.ClientURL()), dispatcherKey
	c.WorkerManagement.HeartbeatInterval = model.Seconds(1)
	x.d = newDaemon(t, c)
	stop := run(t, x.d)
	w := config.DefaultWorker()
	w.Name, w.Dir, w.Engine, w.Slots, w.NATS.URL = "w1", t.TempDir(), "direct", 2, c.NATS.URL
	w.NATS.NKey, w.AllowNetworks, w.DiskFloor = workerKey, []string{"loopback"}, 0
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- node.Run(ctx, w, slog.New(slog.DiscardHandler)) }()
	x.stop = func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the worker: %v", err)
		}
		if err := stop(); err != nil {
			t.Errorf("the dispatcher: %v", err)
		}
	}
	var err error
	if x.nc, err = bus.Connect(testbed.Context(t), bus.Options{URL: x.ClientURL(), NKey: clientKey}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(x.nc.Close)
	if x.shop, err = client.New(x.nc, "shop", client.WithPrefix(c.NATS.Prefix)); err != nil {
		t.Fatal(err)
	}
	return x
}

// download submits a URL and waits until its task is completed.
func (x *external) download(t *testing.T, id, url string) {
	t.Helper()
	if _, err := x.shop.Submit(testbed.Context(t), &model.TaskSpec{ID: id, URL: url}); err != nil {
		t.Fatal(err)
	}
	x.completes(t, id)
}

func (x *external) completes(t *testing.T, id string) {
	t.Helper()
	testbed.Eventually(t, "task "+id+" is completed", func() bool {
		task, err := x.shop.Get(testbed.Context(t), id)
		if err == nil && task.Status == model.StatusFailed {
			t.Fatalf("task %s: %+v", id, task.Error)
		}
		return err == nil && task.Status == model.StatusCompleted
	})
}

func fileServer(t *testing.T) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.URL.Path) }))
	t.Cleanup(s.Close)
	return s.URL
}

// TestDaemon_ServesAfterMaxPayloadReload is the whole story: nats-server reads a smaller
// max_payload while the dispatcher answers a list of 240 kB. The caller has its answer,
// the dispatcher is ready, and requests, the intake, events and the worker work.
func TestDaemon_ServesAfterMaxPayloadReload(t *testing.T) {
	x := startExternal(t, "max_payload: 1048576\n", "", "", "")
	defer x.stop()
	files := fileServer(t)
	x.download(t, "before", files+"/before")
	specs := make([]*model.TaskSpec, 250)
	for n := range specs {
		specs[n] = &model.TaskSpec{
			ID: fmt.Sprint("t", n), URL: files + "/" + strings.Repeat("x", 900), NotBefore: model.TimeOf(time.Now().Add(time.Hour)),
		}
	}
	if _, err := x.shop.SubmitMany(testbed.Context(t), specs); err != nil {
		t.Fatal(err)
	}
	page, err := x.shop.List(testbed.Context(t), model.ListQuery{Limit: 250})
	if err != nil || len(page.Tasks) != 250 {
		t.Fatalf("before the reload: %v", err)
	}
	old := x.d.conn.Current()
	x.Replace("max_payload: 1048576", "max_payload: 131072")
	page, err = x.shop.List(testbed.Context(t), model.ListQuery{Limit: 250})
	if err != nil || len(page.Tasks) >= 250 || len(page.Tasks) < 50 || page.Next == "" {
		t.Errorf("the list after the reload: %v", err)
	}
	if !old.IsClosed() {
		t.Error("the connection was not closed: this test shows nothing")
	}
	testbed.Eventually(t, "it is ready", func() bool { code, _ := get(t, x.d, "/readyz"); return code == http.StatusOK })
	events := make(chan *model.TaskEvent, 64)
	stop, err := x.shop.Watch(testbed.Context(t), client.Handlers{Task: func(e *model.TaskEvent) { events <- e }})
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	x.download(t, "after", files+"/after")
	for e := testbed.Receive(t, events); e.Status != model.StatusCompleted; e = testbed.Receive(t, events) {
	}
	js, err := jetstream.New(x.nc)
	if err != nil {
		t.Fatal(err)
	}
	body, err := json.Marshal(model.TaskSpec{ID: "queued", URL: files + "/queued"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.Publish(testbed.Context(t), "aria.v1.intake.shop.submit", body); err != nil {
		t.Fatal(err)
	}
	x.completes(t, "queued")
	if task, err := x.shop.Get(testbed.Context(t), "before"); err != nil || task.Losses != 0 {
		t.Errorf("%+v, %v", task, err)
	}
}

// TestDaemon_RotatedNKeysAreReadAgain rotates the nkeys of a dispatcher and of a worker
// that run. Both come back without a restart, and a download completes.
func TestDaemon_RotatedNKeysAreReadAgain(t *testing.T) {
	dir := t.TempDir()
	seed := func(name string) (file, public string) {
		file = filepath.Join(dir, name)
		return file, writeSeed(t, file)
	}
	dispatcher, oldDispatcher := seed("dispatcher")
	worker, oldWorker := seed("worker")
	shop, client := seed("client")
	x := startExternal(t, fmt.Sprintf("authorization: {users: [{nkey: %s}, {nkey: %s}, {nkey: %s}]}\n", oldDispatcher, oldWorker, client), dispatcher, worker, shop)
	defer x.stop()
	files := fileServer(t)
	x.download(t, "before", files+"/before")
	first := x.d.conn.Current()
	x.Replace(oldDispatcher, writeSeed(t, dispatcher))
	x.Replace(oldWorker, writeSeed(t, worker))
	testbed.Eventually(t, "the dispatcher has its new key", func() bool { return x.d.conn.Current() != first && x.d.ready() == nil })
	x.download(t, "after", files+"/after")
	if task, err := x.shop.Get(testbed.Context(t), "after"); err != nil || task.Losses != 0 || task.Failures != 0 {
		t.Errorf("%+v, %v", task, err)
	}
}

// writeSeed writes the seed of a new user and returns its public key.
func writeSeed(t *testing.T, path string) (public string) {
	t.Helper()
	pair, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	seed, err := pair.Seed()
	if err != nil {
		t.Fatal(err)
	}
	if public, err = pair.PublicKey(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, seed, 0o600); err != nil {
		t.Fatal(err)
	}
	return public
}

// TestDaemon_InProcessConnectionIsReplaced closes the connection of a dispatcher to its
// embedded server, and that of a worker and client as -dev has them, while a download
// is under way. It completes, and the client hears of it.
func TestDaemon_InProcessConnectionIsReplaced(t *testing.T) {
	d := newDaemon(t, testConfig(t))
	stop := run(t, d)
	out := &testbed.Log{}
	dev := &Dev{Log: process.Log{Logger: slog.New(slog.DiscardHandler)}, Dir: t.TempDir(), Out: out}
	conn, end, err := dev.connect(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	begun, release := make(chan struct{}, 4), make(chan struct{})
	files := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		begun <- struct{}{}
		<-release
		_, _ = io.WriteString(w, "content")
	}))
	t.Cleanup(files.Close)
	dev.URLs = []string{files.URL + "/file"}
	ctx, cancel := context.WithCancel(t.Context())
	worked, downloaded := make(chan error, 1), make(chan error, 1)
	go func() { worked <- dev.runWorker(ctx, d.cfg, conn) }()
	go func() { downloaded <- dev.download(ctx, conn, d.cfg.NATS.Prefix) }()
	testbed.Receive(t, begun)
	for _, c := range []*bus.Connection{conn, d.conn} {
		old := c.Current()
		old.Close()
		testbed.Eventually(t, "the connection is replaced", func() bool { return c.Current() != old && c.Check() == nil })
	}
	close(release)
	if err := testbed.Receive(t, downloaded); err != nil {
		t.Errorf("the download: %v", err)
	}
	if !strings.Contains(out.String(), "1 of 1 completed") {
		t.Errorf("printed: %s", out)
	}
	cancel()
	if err := testbed.Receive(t, worked); err != nil {
		t.Errorf("the worker: %v", err)
	}
	if err := end(); err != nil {
		t.Error(err)
	}
	if err := stop(); err != nil {
		t.Errorf("Run: %v", err)
	}
}

// TestDaemon_YoungerOneStopsAfterReplacement checks that a dispatcher looks for another
// one as soon as its connection is replaced: one that started meanwhile found no other
// dispatcher.
func TestDaemon_YoungerOneStopsAfterReplacement(t *testing.T) {
	d := newDaemon(t, testConfig(t))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx) }()
	testbed.Receive(t, d.Serving())
	old := d.conn.Current()
	olderAnswers(t, d.Server().ClientURL())
	old.Close()
	if err := testbed.Receive(t, ended); err == nil || !strings.Contains(err.Error(), "another dispatcher (host-9, pid 1") {
		t.Errorf("Run: %v", err)
	}
}
