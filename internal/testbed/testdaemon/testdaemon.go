// Package testdaemon runs a whole dispatcher in a test's own process. Only tests may
// import it.
package testdaemon

import (
	"context"
	"log/slog"
	"sync"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/aria-cluster/dispatcher/internal/app"
	"github.com/aria-cluster/dispatcher/internal/app/process"
	"github.com/aria-cluster/dispatcher/internal/config"
	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/internal/testbed/testbus"
	"github.com/aria-cluster/dispatcher/pkg/bus/client"
)

// Dispatcher is a dispatcher that serves.
type Dispatcher struct {
	URL  string      // of its embedded NATS server
	HTTP string      // address of its HTTP server, or ""
	Log  testbed.Log // what it logs
	Stop func()      // ends it, once; else the end of the test does

	prefix string
}

// Start runs a dispatcher with the defaults, except a store in memory, no HTTP and
// an embedded NATS server on a free port, and for what change changes.
func Start(t testing.TB, change ...func(*config.Dispatcher)) *Dispatcher {
	t.Helper()
	cfg := config.DefaultDispatcher()
	cfg.NATS.Listen, cfg.NATS.StoreDir, cfg.HTTP.Listen = "127.0.0.1:-1", t.TempDir(), ""
	for _, f := range change {
		f(cfg)
	}
	return Run(t, cfg)
}

// Run runs a dispatcher and returns when it serves. An error of its end fails the
// test, and a test that failed shows its log.
func Run(t testing.TB, cfg *config.Dispatcher) *Dispatcher {
	t.Helper()
	r := &Dispatcher{prefix: cfg.NATS.Prefix}
	ctx, cancel := context.WithCancel(context.Background())
	d, err := app.New(ctx, cfg, process.Version, r.Log.Logger())
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	d.UseLogLevel(new(slog.LevelVar)) // the log stays at info
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx) }()
	r.Stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the dispatcher: %v", err)
		}
	})
	t.Cleanup(func() {
		r.Stop()
		if t.Failed() {
			t.Logf("the dispatcher logged:\n%s", &r.Log)
		}
	})
	select {
	case <-d.Serving():
	case err := <-ended:
		ended <- err
		t.Fatal("the dispatcher has ended before it served")
	case <-testbed.Context(t).Done():
		t.Fatal("the dispatcher does not serve")
	}
	r.HTTP = d.HTTPAddr()
	if s := d.Server(); s != nil {
		r.URL = s.ClientURL()
	}
	return r
}

// Connect returns a plain connection to its NATS server, until the end of the test.
func (d *Dispatcher) Connect(t testing.TB) *nats.Conn {
	t.Helper()
	return testbus.Connect(t, d.URL)
}

// Client returns a client with a connection of its own.
func (d *Dispatcher) Client(t testing.TB, name string) *client.Client {
	t.Helper()
	c, err := client.New(d.Connect(t), name, client.WithPrefix(d.prefix))
	if err != nil {
		t.Fatal(err)
	}
	return c
}
