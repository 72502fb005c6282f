// Package testnats starts NATS servers for tests that need other options than
// those of the embedded one (embedded.Start). Only tests may import it.
package testnats

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/aria-cluster/dispatcher/internal/freeport"
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

// Configured is a server with a configuration file, which can be read again while it
// runs.
type Configured struct {
	*server.Server

	t    testing.TB
	path string
}

// StartConfigured starts a server on a free port of 127.0.0.1 with JetStream and with a
// configuration in the server's own language.
func StartConfigured(t testing.TB, config string) *Configured {
	t.Helper()
	c := &Configured{t: t, path: filepath.Join(t.TempDir(), "nats-server.conf")}
	// A reload that found another port or folder would be refused.
	config = fmt.Sprintf("listen: %q\njetstream: {store_dir: %q}\n", freeport.Address(t), t.TempDir()) + config
	c.write(config)
	opts, err := server.ProcessConfigFile(c.path)
	if err != nil {
		t.Fatal(err)
	}
	c.Server = Start(t, opts)
	return c
}

// Replace replaces a text in the configuration file and has the server read it again,
// as SIGHUP does.
func (c *Configured) Replace(old, text string) {
	c.t.Helper()
	b, err := os.ReadFile(c.path)
	if err != nil {
		c.t.Fatal(err)
	}
	if !strings.Contains(string(b), old) {
		c.t.Fatalf("%q is not in the configuration", old)
	}
	c.write(strings.ReplaceAll(string(b), old, text))
	if err := c.Reload(); err != nil {
		c.t.Fatal(err)
	}
}

func (c *Configured) write(config string) {
	c.t.Helper()
	if err := os.WriteFile(c.path, []byte(config), 0o600); err != nil {
		c.t.Fatal(err)
	}
}
