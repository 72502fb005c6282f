package bus

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"github.com/aria-cluster/dispatcher/internal/freeport"
	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/internal/testbed/testnats"
	"github.com/aria-cluster/dispatcher/pkg/bus/embedded"
)

// TestConnection_ClosedOneIsReplacedWithAttachments closes connections in a row, the
// first ones by the server's error for a message above max_payload. Each is replaced,
// and what was attached works on the new one.
func TestConnection_ClosedOneIsReplacedWithAttachments(t *testing.T) {
	s, log := testnats.StartConfigured(t, "max_payload: 262144\n"), &testbed.Log{}
	c := open(t, Options{URL: s.ClientURL(), Logger: log.Logger()})
	got := make(chan string, 16)
	a := c.Attach(func(nc *nats.Conn) error {
		_, err := nc.Subscribe("x", func(m *nats.Msg) { got <- string(m.Data) })
		return err
	})
	if err := a.Wait(testbed.Context(t)); err != nil {
		t.Fatal(err)
	}
	other := connectURL(t, s.ClientURL())
	s.Replace("max_payload: 262144", "max_payload: 65536")
	for n, end := range []func(nc *nats.Conn){
		func(nc *nats.Conn) { _ = nc.Publish("y", make([]byte, 200_000)) }, // the server closes it
		(*nats.Conn).Close,
		(*nats.Conn).Close,
	} {
		nc := c.Current()
		end(nc)
		testbed.Eventually(t, "the connection is replaced", func() bool { return c.Current() != nc && c.Check() == nil })
		if nc = c.Current(); nc.MaxPayload() != 65536 {
			t.Errorf("max_payload is %d", nc.MaxPayload())
		}
		if err := c.Current().FlushWithContext(testbed.Context(t)); err != nil {
			t.Fatal(err)
		}
		if err := other.Publish("x", fmt.Append(nil, n)); err != nil {
			t.Fatal(err)
		}
		if text := testbed.Receive(t, got); text != fmt.Sprint(n) {
			t.Errorf("got %s after the end %d", text, n)
		}
	}
	if text := log.String(); !strings.Contains(text, "maximum payload") && !strings.Contains(text, "Maximum Payload") {
		t.Errorf("the reason is not in the log: %s", text)
	}
	a.Detach()
	nc, before := c.Current(), c.Reconnects()
	if before < 3 {
		t.Errorf("three replacements are counted as %d", before)
	}
	nc.Close()
	testbed.Eventually(t, "the connection is replaced", func() bool { return c.Current() != nc && c.Check() == nil })
	if n := c.Reconnects(); n != before+1 {
		t.Errorf("a fourth replacement makes %d of %d", n, before)
	}
	if n := c.Current().NumSubscriptions(); n != 0 {
		t.Errorf("%d subscriptions are left after Detach", n)
	}
}

// TestConnection_ServerAwayLongIsReachedAgain checks that a connection which is closed
// while no server is there is replaced when one is.
func TestConnection_ServerAwayLongIsReachedAgain(t *testing.T) {
	store := t.TempDir()
	start := func(listen string) *embedded.Server {
		s, err := embedded.Start(embedded.Options{Listen: listen, StoreDir: store})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	address := freeport.Address(t)
	s := start(address)
	c := open(t, Options{URL: s.ClientURL()})
	old := c.Current()
	if err := s.Shutdown(testbed.Context(t)); err != nil {
		t.Fatal(err)
	}
	old.Close()
	testbed.Eventually(t, "it is known to be away", func() bool { return c.Check() != nil })
	began := time.Now()
	err := c.Send(func(nc *nats.Conn) (int, error) { return 0, nc.Publish("x", nil) })
	if took := time.Since(began); !errors.Is(err, nats.ErrConnectionClosed) || took > 2*replaceTimeout {
		t.Errorf("sending while it is away: %v after %v", err, took)
	}
	began = time.Now()
	if err := c.Send(func(nc *nats.Conn) (int, error) { return 0, nc.Publish("x", nil) }); err == nil || time.Since(began) >= replaceTimeout {
		t.Errorf("sending later: %v after %v; the patience is for all together", err, time.Since(began))
	}
	s = start(address)
	defer func() { _ = s.Shutdown(testbed.Context(t)) }()
	testbed.Eventually(t, "the connection is replaced", func() bool { return c.Check() == nil })
}

// TestConnection_DrainEndsWhileServerIsAway checks that the end does not wait for a
// replacement that cannot be made, and leaves no goroutine behind.
func TestConnection_DrainEndsWhileServerIsAway(t *testing.T) {
	before := runtime.NumGoroutine()
	s, err := embedded.Start(embedded.Options{Listen: "127.0.0.1:-1", StoreDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	c, err := OpenConnection(testbed.Context(t), Options{URL: s.ClientURL()})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Shutdown(testbed.Context(t)); err != nil {
		t.Fatal(err)
	}
	c.Current().Close()
	testbed.Eventually(t, "it is known to be away", func() bool { return c.Check() != nil })
	began := time.Now()
	if err := c.Drain(testbed.Context(t)); err != nil || time.Since(began) > 5*time.Second {
		t.Errorf("draining: %v after %v", err, time.Since(began))
	}
	if err := c.Attach(func(*nats.Conn) error { return nil }).Wait(testbed.Context(t)); !errors.Is(err, nats.ErrConnectionClosed) {
		t.Errorf("attaching after the end: %v", err)
	}
	testbed.Eventually(t, "no goroutine is left", func() bool { return runtime.NumGoroutine() <= before })
}

// TestConnection_RotatedNKeyIsReadAtReconnect rotates the nkey of a user: the seed file
// gets a new seed and a reload the new public key. The connection comes back with it,
// whichever of the two comes first.
func TestConnection_RotatedNKeyIsReadAtReconnect(t *testing.T) {
	for _, fileFirst := range []bool{true, false} {
		t.Run(fmt.Sprint("file first: ", fileFirst), func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "seed")
			old := writeSeed(t, file)
			s := testnats.StartConfigured(t, fmt.Sprintf("authorization: {users: [{nkey: %s}]}\n", old))
			c := open(t, Options{URL: s.ClientURL(), NKey: file})
			got := make(chan string, 1)
			if err := c.Attach(func(nc *nats.Conn) error {
				_, err := nc.Subscribe("x", func(m *nats.Msg) { got <- string(m.Data) })
				return err
			}).Wait(testbed.Context(t)); err != nil {
				t.Fatal(err)
			}
			first := c.Current()
			if fileFirst {
				s.Replace(old, writeSeed(t, file))
			} else {
				next := filepath.Join(t.TempDir(), "seed")
				public := writeSeed(t, next)
				s.Replace(old, public)
				testbed.Eventually(t, "the old key is refused", func() bool { return c.Check() != nil })
				if err := os.Rename(next, file); err != nil {
					t.Fatal(err)
				}
			}
			testbed.Eventually(t, "the connection has the new key", func() bool { return c.Current() != first && c.Check() == nil })
			if err := errors.Join(c.Current().Publish("x", []byte("again")), c.Current().FlushWithContext(testbed.Context(t))); err != nil {
				t.Fatal(err)
			}
			if text := testbed.Receive(t, got); text != "again" {
				t.Errorf("got %q", text)
			}
		})
	}
}

// writeSeed writes the seed of a new user and returns its public key.
func writeSeed(t *testing.T, path string) (public string) {
	t.Helper()
	pair, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	seed, err := pair.Seed()
	if err != nil {
		t.Fatal(err)
	}
	if public, err = pair.PublicKey(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, seed, 0o600); err != nil {
		t.Fatal(err)
	}
	return public
}
