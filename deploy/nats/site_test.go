// Package nats_test starts a NATS server with exactly the configuration that is
// shipped, and shows for each role what it may do, and what it may not.
package nats_test

import (
	"crypto/tls"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/aria-cluster/dispatcher/internal/config"
	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/internal/testbed/testdaemon"
	"github.com/aria-cluster/dispatcher/internal/testbed/testnats"
	"github.com/aria-cluster/dispatcher/pkg/bus"
)

// material is the folder that keys has filled, once for all tests.
var material string

func TestMain(m *testing.M) {
	testbed.Main(m, func(dir string) error {
		material = dir
		if out, err := runKeys(dir); err != nil {
			return fmt.Errorf("keys: %w\n%s", err, out)
		}
		return nil
	})
}

func runKeys(dir string) ([]byte, error) {
	return exec.Command("go", "run", "./keys", "-conf", "nats-server.conf", "-out", dir,
		"-listen", "127.0.0.1:-1", "-monitor", "127.0.0.1:-1").CombinedOutput()
}

func read(t testing.TB, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// configured gives the shipped configuration, changed by edit if that is not nil,
// beside the keys, and the server's options of it.
func configured(t testing.TB, edit func(string) string) (*server.Options, error) {
	t.Helper()
	dir := t.TempDir()
	text := read(t, "nats-server.conf")
	if edit != nil {
		changed := edit(text)
		if changed == text {
			t.Fatal("the edit changes nothing")
		}
		text = changed
	}
	// Each server has streams of its own.
	site := strings.ReplaceAll(read(t, filepath.Join(material, "site.conf")), filepath.Join(material, "jetstream"), filepath.Join(dir, "jetstream"))
	for name, content := range map[string]string{"nats-server.conf": text, "site.conf": site} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return server.ProcessConfigFile(filepath.Join(dir, "nats-server.conf"))
}

// startServer starts a server with the shipped configuration.
func startServer(t testing.TB, edit func(string) string) *server.Server {
	t.Helper()
	opts, err := configured(t, edit)
	if err != nil {
		t.Fatal(err)
	}
	return testnats.Start(t, opts)
}

// as gives the connection options of a user.
func as(url, name string) bus.Options {
	file := func(suffix string) string { return filepath.Join(material, name+suffix) }
	return bus.Options{
		URL: url, NKey: file(".nk"), Cert: file(".pem"), Key: file("-key.pem"), CA: filepath.Join(material, "ca.pem"),
		Name: name,
	}
}

// startDispatcher runs the real daemon, connected as the role dispatcher by the
// context that keys made.
func startDispatcher(t testing.TB, url string, change ...func(*config.Dispatcher)) *testdaemon.Dispatcher {
	t.Helper()
	cfg := config.DefaultDispatcher()
	cfg.HTTP.Listen, cfg.Events.Stream = "", true
	cfg.NATS.URL, cfg.NATS.Context = config.URLs(url), filepath.Join(material, "dispatcher.json")
	for _, f := range change {
		f(cfg)
	}
	d := testdaemon.Run(t, cfg)
	t.Cleanup(func() {
		d.Stop()
		if text := d.Log.String(); strings.Contains(text, "ermissions") { // it has all the rights that it needs
			t.Errorf("the dispatcher's log:\n%s", text)
		}
	})
	return d
}

// user is a connection that remembers what the server refused it.
type user struct {
	*nats.Conn
	name    string
	refused chan error
}

// connect connects as a user by our own code, as all programs do.
func connect(t testing.TB, url, name string) *user {
	t.Helper()
	nc, err := bus.Connect(testbed.Context(t), as(url, name))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	u := &user{Conn: nc, name: name, refused: make(chan error, 64)}
	nc.SetErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { u.refused <- err })
	return u
}

// open is connect for what needs a connection that is replaced where it is closed.
func open(t testing.TB, url, name string) *bus.Connection {
	t.Helper()
	c, err := bus.OpenConnection(testbed.Context(t), as(url, name))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Drain(testbed.Context(t)) }) // the server may have ended first
	return c
}

// flush waits until the server has seen all that was sent, and its errors are here.
func (u *user) flush(t testing.TB) {
	t.Helper()
	if err := u.FlushTimeout(testbed.Patience); err != nil {
		t.Fatalf("%s: %v", u.name, err)
	}
}

// wantRefusal waits for the server's violation that names the operation and the
// subject.
func (u *user) wantRefusal(t testing.TB, operation, subject string) {
	t.Helper()
	select {
	case err := <-u.refused:
		text := strings.ToLower(err.Error())
		if !strings.Contains(text, "permissions violation for "+operation) || !strings.Contains(text, strings.ToLower(subject)) {
			t.Errorf("%s, %s to %s: refused with %v", u.name, operation, subject, err)
		}
	case <-time.After(testbed.Patience):
		t.Errorf("%s, %s to %s: not refused", u.name, operation, subject)
	}
}

// The server syncs each acknowledged message to disk, and refuses unknown users.
func TestServer_SyncsStreamsAndRequiresUser(t *testing.T) {
	opts, err := configured(t, nil)
	if err != nil {
		t.Fatal(err)
	}
	for what, holds := range map[string]bool{
		"JetStream is on":                      opts.JetStream && opts.StoreDir != "",
		"every acknowledged message is synced": opts.SyncAlways,
		"clients show a certificate":           opts.TLSConfig != nil && opts.TLSConfig.ClientAuth == tls.RequireAndVerifyClientCert,
		"the streams are bounded":              opts.JetStreamMaxStore > 0,
		"connections and payload are bounded":  opts.MaxConn > 0 && opts.MaxPayload == 1<<20 && opts.MaxPending > 0,
		"nobody is let in without a name":      opts.NoAuthUser == "" && len(opts.Users) == 0 && len(opts.Nkeys) == 7,
	} {
		if !holds {
			t.Errorf("not so: %s", what)
		}
	}
}
