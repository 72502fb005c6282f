package main

import (
	"context"
	"database/sql"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	_ "modernc.org/sqlite"

	"github.com/aria-cluster/dispatcher/internal/freeport"
	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/pkg/bus/embedded"
)

// serviceManager is the notify socket of a service manager.
type serviceManager struct {
	t      *testing.T
	path   string
	states chan string
}

func startServiceManager(t *testing.T) *serviceManager {
	t.Helper()
	// Not in a folder: the path of a socket has at most 107 bytes.
	m := &serviceManager{t: t, path: fmt.Sprintf("@aria-%d-%s", os.Getpid(), t.Name()), states: make(chan string, 4096)}
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: m.path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() }) // the test is over
	go func() {
		defer close(m.states)
		for buffer := make([]byte, 4096); ; {
			n, err := conn.Read(buffer)
			if err != nil {
				return
			}
			m.states <- string(buffer[:n])
		}
	}()
	return m
}

// env is what a service manager adds to the environment.
func (m *serviceManager) env(watchdog string) []string {
	return []string{"NOTIFY_SOCKET=" + m.path, "WATCHDOG_USEC=" + watchdog}
}

// waits for a state; it returns those that came before it.
func (m *serviceManager) waits(state string) (before []string) {
	m.t.Helper()
	for {
		got := testbed.Receive(m.t, m.states)
		if got == state {
			return before
		}
		before = append(before, got)
	}
}

// silence waits until nothing has come for this long.
func (m *serviceManager) silence(during time.Duration) {
	m.t.Helper()
	limit := time.After(testbed.Patience)
	for {
		select {
		case <-m.states:
		case <-time.After(during):
			return
		case <-limit:
			m.t.Fatal("the watchdog is fed without an end")
		}
	}
}

// TestDispatcher_NotifiesServiceManager: READY=1 comes when requests are taken, and
// WATCHDOG=1 only while the loop turns: a commit that hangs holds it up. SIGTERM is
// answered with STOPPING=1.
func TestDispatcher_NotifiesServiceManager(t *testing.T) {
	t.Parallel()
	m, dir, listen := startServiceManager(t), t.TempDir(), freeport.Address(t)
	path := filepath.Join(dir, "dispatcher.db")
	p := start(t, dir, append(m.env("900000"), "DISPATCHER_DB_TYPE=sqlite", "DISPATCHER_DB_PATH="+path,
		"DISPATCHER_NATS_LISTEN="+listen, "DISPATCHER_HTTP_LISTEN=127.0.0.1:0"), "dispatcher")
	if before := m.waits("READY=1"); len(before) > 0 {
		t.Errorf("before it was ready: %v", before)
	}
	m.waits("WATCHDOG=1")
	nc := connect(t, "nats://"+listen)
	if a, err := ask(nc, "aria.v1.req.query.status", ""); err != nil || a.code != "" {
		t.Errorf("ready, but a request gives %+v, %v", a, err)
	}

	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	if _, err := db.ExecContext(t.Context(), "BEGIN IMMEDIATE"); err != nil {
		t.Fatal(err)
	}
	// The commit of this one waits five seconds for the lock, in the loop.
	if err := nc.Publish("aria.v1.req.task.shop.submit", []byte(`{"url":"http://h.example/f"}`)); err != nil {
		t.Fatal(err)
	}
	m.silence(1500 * time.Millisecond) // five times what lies between two otherwise
	if _, err := db.ExecContext(t.Context(), "ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	m.waits("WATCHDOG=1")
	p.Stop()
	m.waits("STOPPING=1")
	if !strings.Contains(p.Out.String(), "the watchdog of the service manager is not fed") {
		t.Error("the log does not say that the watchdog was not fed")
	}
}

// TestWorker_NotifiesServiceManager: a worker that waits for NATS is not ready.
func TestWorker_NotifiesServiceManager(t *testing.T) {
	t.Parallel()
	m, dir, listen := startServiceManager(t), t.TempDir(), freeport.Address(t)
	p := start(t, dir, append(m.env("900000"), "NATS_URL=nats://"+listen), "worker", "-name", "w1", "-engine", "direct")
	testbed.Eventually(t, "it waits for NATS", func() bool { return strings.Contains(p.Out.String(), "waiting for NATS") })
	if len(m.states) > 0 {
		t.Errorf("without NATS it says %s", <-m.states)
	}
	server, err := embedded.Start(embedded.Options{Listen: listen, StoreDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Shutdown(context.WithoutCancel(t.Context())) }) // the test is over
	select {
	case state := <-m.states:
		if state != "READY=1" {
			t.Errorf("the first word is %s", state)
		}
	case <-time.After(testbed.Patience):
		t.Fatal("it is not ready")
	}
	m.waits("WATCHDOG=1")
	p.Stop()
	m.waits("STOPPING=1")
}

// TestDispatcher_WarnsOfMemoryStore: the log states what is lost on exit at a level
// that an operator sees, and not where a newcomer tries things out.
func TestDispatcher_WarnsOfMemoryStore(t *testing.T) {
	t.Parallel()
	const text = "memory store: data is lost on exit"
	for kind, want := range map[string]bool{"memory": true, "sqlite": false} {
		dir := t.TempDir()
		p, _ := testbed.Dispatcher(t, filepath.Join(binaries, "dispatcher"), dir, "DISPATCHER_LOG_LEVEL=warn",
			"DISPATCHER_DB_TYPE="+kind, "DISPATCHER_DB_PATH="+filepath.Join(dir, "d.db"))
		p.Stop()
		if got := strings.Contains(p.Out.String(), text); got != want {
			t.Errorf("%s: said %v, want %v", kind, got, want)
		}
	}
	p := start(t, t.TempDir(), []string{"DISPATCHER_NATS_LISTEN=" + freeport.Address(t), "DISPATCHER_HTTP_LISTEN="}, "dispatcher", "-dev")
	testbed.Eventually(t, "it serves", func() bool { return strings.Contains(p.Out.String(), "submit with") })
	p.Stop()
	if strings.Contains(p.Out.String(), text) {
		t.Error("said with -dev")
	}
}
