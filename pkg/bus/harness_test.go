package bus

import (
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/pkg/bus/embedded"
)

// maxBody is what the body of a message may have in these tests, in bytes.
const maxBody = 1 << 20

// startServer starts an embedded server on a free port.
func startServer(t testing.TB) *embedded.Server {
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

func connectURL(t testing.TB, url string) *nats.Conn {
	t.Helper()
	nc, err := Connect(testbed.Context(t), Options{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

// open opens a connection that is replaced where it is closed.
func open(t testing.TB, o Options) *Connection {
	t.Helper()
	c, err := OpenConnection(testbed.Context(t), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Drain(testbed.Context(t)) }) // the server may have ended first
	return c
}

func openTo(t testing.TB, s *embedded.Server) *Connection {
	t.Helper()
	return open(t, Options{URL: s.ClientURL()})
}
