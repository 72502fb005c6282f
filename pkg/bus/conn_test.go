package bus

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"

	"github.com/aria-cluster/dispatcher/internal/freeport"
	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/internal/testbed/testnats"
)

func TestConnectWaitsForTheServerAndSaysSoOnce(t *testing.T) {
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
	s, err := StartServer(ServerOptions{Listen: address, StoreDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Shutdown(testbed.Context(t)) }()
	r := testbed.Receive(t, connected)
	if r.err != nil {
		t.Fatal(r.err)
	}
	defer r.nc.Close()
	if err := CheckConn(r.nc); err != nil {
		t.Error(err)
	}
	if n := strings.Count(log.String(), "waiting"); n != 1 || strings.Contains(log.String(), "secret") {
		t.Errorf("said %d times, with the password or not: %s", n, log)
	}
}

func TestConnectEndsWithItsContext(t *testing.T) {
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

func TestConnectRefusesMistakesAtOnce(t *testing.T) {
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

func TestConnectShowsItsCredentials(t *testing.T) {
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

func TestAConnectionComesBackByItself(t *testing.T) {
	address, store, log := freeport.Address(t), t.TempDir(), &testbed.Log{}
	start := func() *Server {
		s, err := StartServer(ServerOptions{Listen: address, StoreDir: store})
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
	testbed.Eventually(t, "the connection is away", func() bool { return CheckConn(nc) != nil })
	if err := nc.Publish("x", nil); err == nil {
		t.Error("a publish is buffered while NATS is away")
	}
	s = start()
	defer func() { _ = s.Shutdown(testbed.Context(t)) }()
	testbed.Eventually(t, "the connection is back", func() bool { return CheckConn(nc) == nil })
	testbed.Eventually(t, "both are logged", func() bool {
		return strings.Contains(log.String(), "lost NATS") && strings.Contains(log.String(), "reconnected")
	})
}

func TestTheEmbeddedServerIsReachedFromInsideAndOutside(t *testing.T) {
	s, err := StartServer(ServerOptions{StoreDir: t.TempDir(), MaxPayload: 64 << 10})
	if err != nil {
		t.Fatal(err)
	}
	nc, err := Connect(testbed.Context(t), Options{InProcess: s})
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

func TestTheEmbeddedServerRefusesToStart(t *testing.T) {
	running := startServer(t)
	port := strings.TrimPrefix(running.ClientURL(), "nats://")
	file := noiseFile(t)
	held := t.TempDir()
	first, err := StartServer(ServerOptions{StoreDir: held})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = first.Shutdown(testbed.Context(t)) }()
	for name, c := range map[string]struct {
		o    ServerOptions
		want string
	}{
		"on a port that is taken":          {ServerOptions{Listen: port, StoreDir: t.TempDir()}, "address already in use"},
		"without a folder":                 {ServerOptions{}, "nats.store_dir: is missing"},
		"in a folder that is a file":       {ServerOptions{StoreDir: file}, "nats.store_dir"},
		"in a folder that another one has": {ServerOptions{StoreDir: held}, "in use by another NATS server (pid "},
		"at an address that is none":       {ServerOptions{StoreDir: t.TempDir(), Listen: "here"}, "nats.listen"},
		"with a user but no password":      {ServerOptions{StoreDir: t.TempDir(), User: "u"}, "nats.password"},
		"with a password but no user":      {ServerOptions{StoreDir: t.TempDir(), Password: "p"}, "nats.user"},
		"at a port that is none":           {ServerOptions{StoreDir: t.TempDir(), Listen: "127.0.0.1:x"}, "nats.listen"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := StartServer(c.o)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %s", err, c.want)
			}
			if taken := errors.Is(err, syscall.EADDRINUSE); taken != strings.Contains(c.want, "address") {
				t.Errorf("EADDRINUSE is %v in %v", taken, err)
			}
		})
	}
}

func TestTheEmbeddedServerLetsInNobodyWithoutItsPassword(t *testing.T) {
	// One that looks like a bcrypt hash is a password like any other.
	for _, password := range []string{"hunter2", "$2a$11$IjVzA6dvEKJpBHXtdVV4NOBnnUxKtzCPVKhS.0aBqtxwYGR5xqDAC"} {
		log := &testbed.Log{}
		s, err := StartServer(ServerOptions{Listen: "127.0.0.1:-1", StoreDir: t.TempDir(), User: "ops", Password: password, Logger: log.Logger()})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Shutdown(context.WithoutCancel(t.Context())) })
		for name, o := range map[string]Options{
			"nobody": {}, "another user": {User: "eve", Password: password}, "another password": {User: "ops", Password: "guess"},
			"no password": {User: "ops"}, "no user": {Password: password},
		} {
			o.URL = s.ClientURL()
			nc, err := Connect(testbed.Context(t), o)
			if !errors.Is(err, nats.ErrAuthorization) {
				t.Errorf("%s: %v", name, err)
			}
			if err == nil {
				nc.Close()
			}
		}
		for _, o := range []Options{{URL: s.ClientURL()}, {InProcess: s}} {
			o.User, o.Password = "ops", password
			nc, err := Connect(testbed.Context(t), o)
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

func TestAServerThatIsOpenToOthersWithoutAPasswordSaysSo(t *testing.T) {
	for _, c := range []struct {
		o    ServerOptions
		open bool
	}{
		{ServerOptions{Listen: "0.0.0.0:-1"}, true},
		{ServerOptions{Listen: ":-1"}, true},
		{ServerOptions{Listen: "[::]:-1"}, true},
		{ServerOptions{Listen: "0.0.0.0:-1", User: "u", Password: "p"}, false},
		{ServerOptions{Listen: "127.0.0.2:-1"}, false},
		{ServerOptions{Listen: "localhost:-1"}, false},
		{ServerOptions{Listen: "[::1]:-1"}, false},
		{ServerOptions{}, false},
	} {
		log := &testbed.Log{}
		c.o.StoreDir, c.o.Logger = t.TempDir(), log.Logger()
		s, err := StartServer(c.o)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Shutdown(testbed.Context(t)); err != nil {
			t.Error(err)
		}
		if said := strings.Contains(log.String(), "open to everybody"); said != c.open {
			t.Errorf("%q with the user %q: said %v: %s", c.o.Listen, c.o.User, said, log)
		}
	}
}

func TestAFailureInsideTheServerIsWhatTheStartReturns(t *testing.T) {
	store := t.TempDir()
	// JetStream cannot make its folder where a file has its name.
	if err := os.WriteFile(filepath.Join(store, "jetstream"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	_, err := StartServer(ServerOptions{StoreDir: store})
	if err == nil || !strings.Contains(err.Error(), "JetStream") || time.Since(start) > 5*time.Second {
		t.Fatalf("got %v after %v", err, time.Since(start))
	}
	if err := os.Remove(filepath.Join(store, "jetstream")); err != nil {
		t.Fatal(err)
	}
	s, err := StartServer(ServerOptions{StoreDir: store})
	if err != nil {
		t.Fatalf("the folder is still held: %v", err)
	}
	if err := s.Shutdown(testbed.Context(t)); err != nil {
		t.Fatal(err)
	}
}

func TestAThrottleSpeaksOnceInItsQuietTime(t *testing.T) {
	log := &testbed.Log{}
	th := &throttle{logger: log.Logger()}
	for range 1000 {
		th.warn("again")
	}
	if n := strings.Count(log.String(), "again"); n != 1 {
		t.Errorf("spoke %d times", n)
	}
}
