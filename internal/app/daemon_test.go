package app

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/aria-cluster/dispatcher/internal/app/process"
	"github.com/aria-cluster/dispatcher/internal/config"
	"github.com/aria-cluster/dispatcher/pkg/bus"
	"github.com/aria-cluster/dispatcher/pkg/bus/client"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

func testConfig(tb testing.TB) *config.Dispatcher {
	tb.Helper()
	c := config.DefaultDispatcher()
	dir := tb.TempDir()
	c.NATS.Listen, c.NATS.StoreDir = "127.0.0.1:-1", filepath.Join(dir, "nats")
	c.Database.Path = filepath.Join(dir, "dispatcher.db")
	c.HTTP.Listen = "127.0.0.1:0"
	return c
}

func newDaemon(t *testing.T, c *config.Dispatcher) *Daemon {
	t.Helper()
	d, err := New(t.Context(), c, process.Version, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// run runs the daemon until the returned function is called, which gives Run's
// error.
func run(tb testing.TB, d *Daemon) (stop func() error) {
	tb.Helper()
	ctx, cancel := context.WithCancel(tb.Context())
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx) }()
	select {
	case <-d.Serving():
	case err := <-ended:
		tb.Fatalf("Run: %v", err)
	case <-time.After(10 * time.Second):
		tb.Fatal("it does not serve after 10 s")
	}
	return func() error {
		cancel()
		return <-ended
	}
}

func get(t *testing.T, d *Daemon, path string) (int, string) {
	t.Helper()
	res, err := http.Get("http://" + d.HTTPAddr() + path)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, strings.TrimSpace(string(b))
}

// TestHealth_ReportsReadiness checks /healthz and /readyz.
func TestHealth_ReportsReadiness(t *testing.T) {
	d := newDaemon(t, testConfig(t))
	if code, body := get(t, d, "/healthz"); code != 200 || body != "ok" {
		t.Errorf("/healthz before Run: %d %s", code, body)
	}
	if code, body := get(t, d, "/readyz"); code != 503 || body != "the store is not loaded" {
		t.Errorf("/readyz before Run: %d %s", code, body)
	}
	stop := run(t, d)
	deadline := time.Now().Add(10 * time.Second)
	for code := 0; code != 200; {
		if code, _ = get(t, d, "/readyz"); time.Now().After(deadline) {
			t.Fatalf("/readyz: %d", code)
		}
	}
	if err := stop(); err != nil {
		t.Errorf("Run: %v", err)
	}
}

// A load balancer, or a script that has just started the dispatcher, asks at once.
func TestDaemon_NotReadyBeforeServing(t *testing.T) {
	d := newDaemon(t, testConfig(t))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx) }()
	deadline := time.Now().Add(10 * time.Second)
	for code := 0; code != 200; {
		if code, _ = get(t, d, "/readyz"); time.Now().After(deadline) {
			t.Fatalf("/readyz: %d", code)
		}
	}
	select {
	case <-d.Serving():
	default:
		t.Error("/readyz says 200 before the endpoints are there")
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("Run: %v", err)
	}
}

// TestHealth_ServesProfilesOnlyWhenEnabled checks that profiles are off by default.
func TestHealth_ServesProfilesOnlyWhenEnabled(t *testing.T) {
	for _, asked := range []bool{false, true} {
		c := testConfig(t)
		c.HTTP.Pprof = asked
		d := newDaemon(t, c)
		for _, path := range []string{"/debug/pprof/", "/debug/pprof/heap", "/debug/pprof/profile?seconds=1"} {
			if code, body := get(t, d, path); (code == 200) != asked {
				t.Errorf("http.pprof %v: %s: %d %.80s", asked, path, code, body)
			}
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestDaemon_SecondOneOnPrefixIsRefused checks that the error of a second dispatcher
// names the first.
func TestDaemon_SecondOneOnPrefixIsRefused(t *testing.T) {
	d := newDaemon(t, testConfig(t))
	stop := run(t, d)
	second := testConfig(t)
	second.NATS.URL = config.URLs(d.Server().ClientURL())
	_, err := New(t.Context(), second, process.Version, slog.New(slog.DiscardHandler))
	if err == nil || !strings.Contains(err.Error(), instanceName()) {
		t.Errorf("the second one: %v; want an error that names %q", err, instanceName())
	}
	second.NATS.Prefix = "other.v1"
	if err := newDaemon(t, second).Close(); err != nil {
		t.Errorf("on another prefix: %v", err)
	}
	if err := stop(); err != nil {
		t.Errorf("Run: %v", err)
	}
}

// TestDaemon_EmbeddedServerRequiresPassword checks that the embedded server requires
// the configured password.
func TestDaemon_EmbeddedServerRequiresPassword(t *testing.T) {
	c := testConfig(t)
	c.NATS.User, c.NATS.Password = "ops", "hunter2"
	d := newDaemon(t, c)
	stop := run(t, d)
	if _, err := bus.Connect(t.Context(), bus.Options{URL: d.Server().ClientURL()}); !errors.Is(err, nats.ErrAuthorization) {
		t.Errorf("without the password: %v", err)
	}
	nc, err := bus.Connect(t.Context(), bus.Options{URL: d.Server().ClientURL(), User: "ops", Password: "hunter2"})
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if _, err := nc.Request("aria.v1.req.query.status", nil, 5*time.Second); err != nil {
		t.Errorf("with the password: %v", err)
	}
	dev := Dev{Log: process.Log{Logger: slog.New(slog.DiscardHandler)}}
	own, end, err := dev.connect(t.Context(), d)
	if err != nil {
		t.Fatalf("-dev's worker and client: %v", err)
	}
	if _, err := own.Current().Request("aria.v1.req.query.status", nil, 5*time.Second); err != nil {
		t.Errorf("-dev's worker and client: %v", err)
	}
	if err := end(); err != nil {
		t.Error(err)
	}
	if err := stop(); err != nil {
		t.Errorf("Run: %v", err)
	}
}

// TestDaemon_ClientAboveRateGets429 checks that limits.client_rate is enforced.
func TestDaemon_ClientAboveRateGets429(t *testing.T) {
	c := testConfig(t)
	c.Limits.ClientRate = 1
	d := newDaemon(t, c)
	defer run(t, d)()
	hasty := shop(t, d)
	refused := false
	for n := range 4 { // the first has a second's room; on a busy machine the next may have it too
		_, err := hasty.Submit(t.Context(), &model.TaskSpec{URL: "https://files.example/" + strconv.Itoa(n)})
		if err != nil && (model.CodeOf(err) != model.CodeTooMany || !strings.Contains(err.Error(), "limits.client_rate")) {
			t.Fatal(err)
		}
		refused = refused || err != nil
	}
	if !refused {
		t.Error("four submits were taken at once")
	}
	if _, err := hasty.List(t.Context(), model.ListQuery{}); err != nil {
		t.Errorf("reading is not submitting: %v", err)
	}
}

// TestNew_FailedStartReleasesAndNamesKey checks that a failed start releases everything
// and names the key.
func TestNew_FailedStartReleasesAndNamesKey(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	good := testConfig(t)
	good.Database.Type = "sqlite"
	bad := *good
	bad.HTTP.Listen = taken.Addr().String()
	if _, err := New(t.Context(), &bad, process.Version, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "http.listen") {
		t.Fatalf("http.listen is taken: %v", err)
	}
	first := newDaemon(t, good) // the same file and the same NATS folder: neither is locked any more
	second := testConfig(t)
	second.Database = good.Database
	if _, err := New(t.Context(), second, process.Version, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "database.path") {
		t.Errorf("a second dispatcher on one file: %v", err)
	}
	if err := first.Close(); err != nil {
		t.Error(err)
	}
}

// TestDaemon_AcknowledgedTasksSurviveRestart checks that acknowledged tasks are in the
// store after a restart.
func TestDaemon_AcknowledgedTasksSurviveRestart(t *testing.T) {
	c := testConfig(t)
	c.Database.Type = "sqlite"
	d := newDaemon(t, c)
	stop := run(t, d)
	submit(t, d, "a")
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	again := newDaemon(t, c)
	defer run(t, again)()
	task, err := shop(t, again).Get(t.Context(), "a")
	if err != nil || task.Status != model.StatusPending || task.Reason != "no worker is online" {
		t.Errorf("after the restart: %+v, %v", task, err)
	}
}

func shop(t *testing.T, d *Daemon) *client.Client {
	t.Helper()
	nc, err := bus.Connect(t.Context(), bus.Options{URL: d.Server().ClientURL()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	c, err := client.New(nc, "shop", client.WithPrefix(d.cfg.NATS.Prefix))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func submit(t *testing.T, d *Daemon, id string) {
	t.Helper()
	if _, err := shop(t, d).Submit(t.Context(), &model.TaskSpec{ID: id, URL: "https://files.example/" + id}); err != nil {
		t.Fatal(err)
	}
}
