package bus

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"github.com/aria-cluster/dispatcher/internal/freeport"
	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/internal/testbed/testnats"
	"github.com/aria-cluster/dispatcher/pkg/bus/embedded"
)

// TestConnect_WaitsForServerAndLogsOnce checks that Connect waits for a server and logs
// that once.
func TestConnect_WaitsForServerAndLogsOnce(t *testing.T) {
	address, log := freeport.Address(t), &testbed.Log{}
	type result struct {
		nc  *nats.Conn
		err error
	}
	connected := make(chan result, 1)
	go func() {
		nc, err := Connect(testbed.Context(t), Options{URL: "nats://me:secret@" + address, Logger: log.Logger()})
		connected <- result{nc, err}
	}()
	testbed.Eventually(t, "it says what it waits for", func() bool { return strings.Contains(log.String(), "waiting for NATS") })
	s, err := embedded.Start(embedded.Options{Listen: address, StoreDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Shutdown(testbed.Context(t)) }()
	r := testbed.Receive(t, connected)
	if r.err != nil {
		t.Fatal(r.err)
	}
	defer r.nc.Close()
	if err := checkConn(r.nc); err != nil {
		t.Error(err)
	}
	if n := strings.Count(log.String(), "waiting"); n != 1 || strings.Contains(log.String(), "secret") {
		t.Errorf("said %d times, with the password or not: %s", n, log)
	}
}

// TestConnect_EndsWithContext checks that Connect ends with its context.
func TestConnect_EndsWithContext(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	_, err := Connect(ctx, Options{URL: "nats://u:hidden@" + freeport.Address(t)})
	if !errors.Is(err, context.DeadlineExceeded) || strings.Contains(err.Error(), "hidden") {
		t.Errorf("got %v", err)
	}
	silent, err := net.Listen("tcp", "127.0.0.1:0") // takes connections and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = silent.Close() }()
	ctx, cancel = context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	start := time.Now()
	_, err = Connect(ctx, Options{URL: "nats://" + silent.Addr().String()})
	if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) > 3*time.Second {
		t.Errorf("got %v after %v", err, time.Since(start))
	}
}

// TestConnect_ReturnsPermanentErrorsAtOnce checks that Connect does not wait after an
// error in its options.
func TestConnect_ReturnsPermanentErrorsAtOnce(t *testing.T) {
	s := startServer(t)
	for name, o := range map[string]Options{
		"a bad URL":               {URL: "nats://[::1"},
		"no nkey file":            {NKey: "/nowhere/seed"},
		"no creds file":           {Creds: "/nowhere/creds"},
		"no CA file":              {CA: "/nowhere/ca"},
		"a certificate, no key":   {Cert: "/nowhere/cert"},
		"no certificate file":     {Cert: "/nowhere/cert", Key: "/nowhere/key"},
		"an unknown context":      {Context: "nobody-has-this-context"},
		"a context file of noise": {Context: noiseFile(t)},
	} {
		t.Run(name, func(t *testing.T) {
			if o.URL == "" && o.Context == "" {
				o.URL = s.ClientURL()
			}
			if nc, err := Connect(testbed.Context(t), o); err == nil || errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("got %v, %v", nc, err)
			}
		})
	}
}

func noiseFile(t *testing.T) string {
	path := filepath.Join(t.TempDir(), "noise.json")
	if err := os.WriteFile(path, []byte("noise"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestConnect_UsesCredentialsOfOptions checks each kind of credentials.
func TestConnect_UsesCredentialsOfOptions(t *testing.T) {
	pair, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	seed, err := pair.Seed()
	if err != nil {
		t.Fatal(err)
	}
	public, err := pair.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	seedFile := filepath.Join(dir, "seed")
	if err := os.WriteFile(seedFile, seed, 0o600); err != nil {
		t.Fatal(err)
	}
	url := testnats.Start(t, &server.Options{
		Users: []*server.User{{Username: "alice", Password: "pw"}},
		Nkeys: []*server.NkeyUser{{Nkey: public}},
	}).ClientURL()
	contexts := filepath.Join(dir, "nats", "context")
	if err := os.MkdirAll(contexts, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(contexts, "lab.json"), []byte(`{"url":"`+url+`","user":"alice","password":"pw"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(contexts, "old.json"), []byte(`{"url":"nats://127.0.0.1:1","user":"alice","password":"pw"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("XDG_CONFIG_HOME", dir)
	for name, o := range map[string]Options{
		"user and password":            {URL: url, User: "alice", Password: "pw"},
		"an nkey":                      {URL: url, NKey: seedFile},
		"a context":                    {Context: "lab"},
		"a context with another URL":   {Context: "old", URL: url},
		"an inbox prefix":              {Context: "lab", InboxPrefix: "_INBOX_alice"},
		"a second server of the list":  {URL: "nats://127.0.0.1:1," + url, User: "alice", Password: "pw"},
		"a password in the URL itself": {URL: strings.Replace(url, "nats://", "nats://alice:pw@", 1)},
	} {
		t.Run(name, func(t *testing.T) {
			nc, err := Connect(testbed.Context(t), o)
			if err != nil {
				t.Fatal(err)
			}
			defer nc.Close()
			if o.InboxPrefix != "" && !strings.HasPrefix(nc.NewRespInbox(), o.InboxPrefix) {
				t.Errorf("inbox %s", nc.NewRespInbox())
			}
		})
	}
	t.Run("refused ones end it at once", func(t *testing.T) {
		_, err := Connect(testbed.Context(t), Options{URL: url, User: "alice", Password: "wrong"})
		if !errors.Is(err, nats.ErrAuthorization) || strings.Contains(err.Error(), "wrong") {
			t.Errorf("got %v", err)
		}
	})
}

// TestConnect_ReconnectsByItself checks that a connection comes back and buffers no
// message.
func TestConnect_ReconnectsByItself(t *testing.T) {
	address, store, log := freeport.Address(t), t.TempDir(), &testbed.Log{}
	start := func() *embedded.Server {
		s, err := embedded.Start(embedded.Options{Listen: address, StoreDir: store})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := start()
	nc, err := Connect(testbed.Context(t), Options{URL: s.ClientURL(), Logger: log.Logger()})
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if err := s.Shutdown(testbed.Context(t)); err != nil {
		t.Fatal(err)
	}
	testbed.Eventually(t, "the connection is away", func() bool { return checkConn(nc) != nil })
	if err := nc.Publish("x", nil); err == nil {
		t.Error("a publish is buffered while NATS is away")
	}
	s = start()
	defer func() { _ = s.Shutdown(testbed.Context(t)) }()
	testbed.Eventually(t, "the connection is back", func() bool { return checkConn(nc) == nil })
	testbed.Eventually(t, "both are logged", func() bool {
		return strings.Contains(log.String(), "lost NATS") && strings.Contains(log.String(), "reconnected")
	})
}

// TestConnect_ErrorsRepeatNoPassword: an unreadable URL is not repeated.
func TestConnect_ErrorsRepeatNoPassword(t *testing.T) {
	for _, u := range []string{"nats://me:secret/x@127.0.0.1:4222", "nats://m e:secret@127.0.0.1", "nats://me:secret%zz@127.0.0.1"} {
		nc, err := Connect(testbed.Context(t), Options{URL: u, Logger: slog.New(slog.DiscardHandler)})
		if err == nil {
			nc.Close()
		}
		if err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v, want an error without the password", u, err)
		}
	}
}
