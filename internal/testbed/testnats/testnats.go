// Package testnats starts NATS servers for tests that need other options than
// those of the embedded one (bus.StartServer). Only tests may import it.
package testnats

import (
	"testing"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/aria-cluster/dispatcher/internal/testbed"
)

// Start starts a server, silent and without signal handlers, and waits until it
// takes connections; without a host, on a free port of 127.0.0.1. It ends with the
// test, or by Shutdown.
func Start(t testing.TB, opts *server.Options) *server.Server {
	t.Helper()
	opts.NoSigs, opts.NoLog = true, true
	if opts.Host == "" {
		opts.Host, opts.Port = "127.0.0.1", server.RANDOM_PORT
	}
	s, err := server.NewServer(opts)
	if err != nil {
		t.Fatal(err)
	}
	go s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(testbed.Patience) {
		t.Fatal("the NATS server is not ready")
	}
	return s
}
