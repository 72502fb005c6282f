package embedded_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/internal/testbed/testbus"
	"github.com/aria-cluster/dispatcher/pkg/bus"
	"github.com/aria-cluster/dispatcher/pkg/bus/embedded"
)

// TestServer_AcceptsInProcessConnections checks an in-process connection and its
// JetStream.
func TestServer_AcceptsInProcessConnections(t *testing.T) {
	s, err := embedded.Start(embedded.Options{StoreDir: t.TempDir(), MaxPayload: 64 << 10})
	if err != nil {
		t.Fatal(err)
	}
	nc, err := bus.Connect(testbed.Context(t), bus.Options{InProcess: s})
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if nc.MaxPayload() != 64<<10 || !s.Ready() {
		t.Errorf("max_payload %d, ready %v", nc.MaxPayload(), s.Ready())
	}
	js, err := nc.JetStream()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.AccountInfo(); err != nil {
		t.Errorf("JetStream: %v", err)
	}
	if err := s.Shutdown(testbed.Context(t)); err != nil {
		t.Fatal(err)
	}
	if s.Ready() {
		t.Error("ready after its end")
	}
	if err := s.Shutdown(testbed.Context(t)); err != nil {
		t.Errorf("a second shutdown: %v", err)
	}
}

// TestStart_RefusesBadOptions checks the errors of a start.
func TestStart_RefusesBadOptions(t *testing.T) {
	running := testbus.StartServer(t)
	port := strings.TrimPrefix(running.ClientURL(), "nats://")
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	held := t.TempDir()
	first, err := embedded.Start(embedded.Options{StoreDir: held})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = first.Shutdown(testbed.Context(t)) }()
	for name, c := range map[string]struct {
		o    embedded.Options
		want string
	}{
		"on a port that is taken":          {embedded.Options{Listen: port, StoreDir: t.TempDir()}, "address already in use"},
		"without a folder":                 {embedded.Options{}, "nats.store_dir: is missing"},
		"in a folder that is a file":       {embedded.Options{StoreDir: file}, "nats.store_dir"},
		"in a folder that another one has": {embedded.Options{StoreDir: held}, "in use by another NATS server (pid "},
		"at an invalid address":            {embedded.Options{StoreDir: t.TempDir(), Listen: "here"}, "nats.listen"},
		"with a user but no password":      {embedded.Options{StoreDir: t.TempDir(), User: "u"}, "nats.password"},
		"with a password but no user":      {embedded.Options{StoreDir: t.TempDir(), Password: "p"}, "nats.user"},
		"at an invalid port":               {embedded.Options{StoreDir: t.TempDir(), Listen: "127.0.0.1:x"}, "nats.listen"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := embedded.Start(c.o)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %s", err, c.want)
			}
			if taken := errors.Is(err, syscall.EADDRINUSE); taken != strings.Contains(c.want, "address") {
				t.Errorf("EADDRINUSE is %v in %v", taken, err)
			}
		})
	}
}

// TestServer_RequiresPassword checks that the server accepts the configured user only.
func TestServer_RequiresPassword(t *testing.T) {
	// One that looks like a bcrypt hash is a password like any other.
	for _, password := range []string{"hunter2", "$2a$11$IjVzA6dvEKJpBHXtdVV4NOBnnUxKtzCPVKhS.0aBqtxwYGR5xqDAC"} {
		log := &testbed.Log{}
		s, err := embedded.Start(embedded.Options{Listen: "127.0.0.1:-1", StoreDir: t.TempDir(), User: "ops", Password: password, Logger: log.Logger()})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Shutdown(context.WithoutCancel(t.Context())) })
		for name, o := range map[string]bus.Options{
			"nobody": {}, "another user": {User: "eve", Password: password}, "another password": {User: "ops", Password: "guess"},
			"no password": {User: "ops"}, "no user": {Password: password},
		} {
			o.URL = s.ClientURL()
			nc, err := bus.Connect(testbed.Context(t), o)
			if !errors.Is(err, nats.ErrAuthorization) {
				t.Errorf("%s: %v", name, err)
			}
			if err == nil {
				nc.Close()
			}
		}
		for _, o := range []bus.Options{{URL: s.ClientURL()}, {InProcess: s}} {
			o.User, o.Password = "ops", password
			nc, err := bus.Connect(testbed.Context(t), o)
			if err != nil {
				t.Fatal(err)
			}
			js, err := jetstream.New(nc)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := js.AccountInfo(testbed.Context(t)); err != nil {
				t.Errorf("its JetStream: %v", err)
			}
			nc.Close()
		}
		if text := log.String(); strings.Contains(text, password) || strings.Contains(text, "Plaintext") {
			t.Errorf("it says %s", text)
		}
	}
}

// TestStart_WarnsWhenOpenToNetwork checks that a server without a password warns unless
// it listens on loopback.
func TestStart_WarnsWhenOpenToNetwork(t *testing.T) {
	for _, c := range []struct {
		o    embedded.Options
		open bool
	}{
		{embedded.Options{Listen: "0.0.0.0:-1"}, true},
		{embedded.Options{Listen: ":-1"}, true},
		{embedded.Options{Listen: "[::]:-1"}, true},
		{embedded.Options{Listen: "0.0.0.0:-1", User: "u", Password: "p"}, false},
		{embedded.Options{Listen: "127.0.0.2:-1"}, false},
		{embedded.Options{Listen: "localhost:-1"}, false},
		{embedded.Options{Listen: "[::1]:-1"}, false},
		{embedded.Options{}, false},
	} {
		log := &testbed.Log{}
		c.o.StoreDir, c.o.Logger = t.TempDir(), log.Logger()
		s, err := embedded.Start(c.o)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Shutdown(testbed.Context(t)); err != nil {
			t.Error(err)
		}
		if said := strings.Contains(log.String(), "without a password"); said != c.open {
			t.Errorf("%q with the user %q: said %v: %s", c.o.Listen, c.o.User, said, log)
		}
	}
}

// TestStart_ReturnsFailureOfServer checks that a failure of JetStream is the error of
// the start.
func TestStart_ReturnsFailureOfServer(t *testing.T) {
	store := t.TempDir()
	// JetStream cannot make its folder where a file has its name.
	if err := os.WriteFile(filepath.Join(store, "jetstream"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	_, err := embedded.Start(embedded.Options{StoreDir: store})
	if err == nil || !strings.Contains(err.Error(), "JetStream") || time.Since(start) > 5*time.Second {
		t.Fatalf("got %v after %v", err, time.Since(start))
	}
	if err := os.Remove(filepath.Join(store, "jetstream")); err != nil {
		t.Fatal(err)
	}
	s, err := embedded.Start(embedded.Options{StoreDir: store})
	if err != nil {
		t.Fatalf("the folder is still held: %v", err)
	}
	if err := s.Shutdown(testbed.Context(t)); err != nil {
		t.Fatal(err)
	}
}
