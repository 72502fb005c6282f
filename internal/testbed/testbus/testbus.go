// Package testbus starts an embedded NATS server for a test, and connects to NATS
// servers. Only tests may import it.
package testbus

import (
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/pkg/bus"
	"github.com/aria-cluster/dispatcher/pkg/bus/embedded"
)

// StartServer starts an embedded server on a free port. It ends with the test.
func StartServer(t testing.TB) *embedded.Server {
	t.Helper()
	s, err := embedded.Start(embedded.Options{Listen: "127.0.0.1:-1", StoreDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Shutdown(testbed.Context(t)); err != nil {
			t.Error(err)
		}
	})
	return s
}

// Connect makes a plain connection, which ends with the test.
func Connect(t testing.TB, url string) *nats.Conn {
	t.Helper()
	nc, err := bus.Connect(testbed.Context(t), bus.Options{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

// Open opens a connection that is replaced where it is closed, and ends with the test.
func Open(t testing.TB, url string) *bus.Connection {
	t.Helper()
	c, err := bus.OpenConnection(testbed.Context(t), bus.Options{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Drain(testbed.Context(t)) }) // the server may have ended first
	return c
}
