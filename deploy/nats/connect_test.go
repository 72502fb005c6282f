package nats_test

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
	"github.com/nats-io/nkeys"

	"github.com/aria-cluster/dispatcher/internal/app/node"
	"github.com/aria-cluster/dispatcher/internal/config"
	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/internal/testbed/testdaemon"
	"github.com/aria-cluster/dispatcher/internal/testbed/testnats"
)

// fileOf is the path of a file that keys made.
func fileOf(name string) string { return filepath.Join(material, name) }

// The programs connect with the credentials of their environment.
func TestConnect_ProgramsUseEnvironment(t *testing.T) {
	url := startServer(t, nil).ClientURL()
	creds := credsServer(t)
	contexts := t.TempDir()
	if err := os.MkdirAll(filepath.Join(contexts, "nats", "context"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(contexts, "nats", "context", "lab.json"), []byte(read(t, fileOf("dispatcher.json"))), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("XDG_CONFIG_HOME", contexts)
	for name, env := range map[string][]string{
		"TLS, certificate and nkey": {
			"NATS_URL=" + url, "NATS_NKEY=" + fileOf("dispatcher.nk"), "NATS_CA=" + fileOf("ca.pem"),
			"NATS_CERT=" + fileOf("dispatcher.pem"), "NATS_KEY=" + fileOf("dispatcher-key.pem"),
		},
		"a context by its path":            {"NATS_URL=" + url, "NATS_CONTEXT=" + fileOf("dispatcher.json")},
		"a context by its name":            {"NATS_URL=" + url, "NATS_CONTEXT=lab"},
		"creds of a server with operators": {"NATS_URL=" + creds.url, "NATS_CREDS=" + creds.file},
	} {
		t.Run(name, func(t *testing.T) {
			cmd, err := config.LoadDispatcher([]string{"-http-listen="}, append(env, "DISPATCHER_DB_TYPE=memory"))
			if err != nil {
				t.Fatal(err)
			}
			testdaemon.Run(t, cmd.Config)
		})
	}
}

// A worker connects with the credentials of its environment.
func TestConnect_WorkerUsesEnvironment(t *testing.T) {
	url := startServer(t, nil).ClientURL()
	startDispatcher(t, url)
	observer := connect(t, url, "observer")
	online := make(chan *nats.Msg, 4)
	if _, err := observer.ChanSubscribe("aria.v1.evt.worker.worker-2.online", online); err != nil {
		t.Fatal(err)
	}
	observer.flush(t)
	cmd, err := config.LoadWorker(nil, []string{
		"NATS_URL=" + url, "NATS_CONTEXT=" + fileOf("worker-2.json"), "WORKER_NAME=worker-2", "WORKER_ENGINE=direct", "WORKER_DIR=" + t.TempDir(),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- node.Run(ctx, cmd.Config, slog.New(slog.DiscardHandler)) }()
	testbed.Receive(t, online)
	cancel()
	if err := testbed.Receive(t, ended); err != nil {
		t.Errorf("RunWorker: %v", err)
	}
}

// operated is a server with operators, and a file of credentials for it.
type operated struct{ url, file string }

// credsServer starts a server that knows an operator, whose accounts and users are
// signed, and makes the credentials of one user.
func credsServer(t *testing.T) operated {
	t.Helper()
	must := func(text string, err error) string {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	pair := func(create func() (nkeys.KeyPair, error)) (nkeys.KeyPair, string) {
		t.Helper()
		p, err := create()
		if err != nil {
			t.Fatal(err)
		}
		return p, must(p.PublicKey())
	}
	operator, operatorID := pair(nkeys.CreateOperator)
	account, accountID := pair(nkeys.CreateAccount)
	user, userID := pair(nkeys.CreateUser)
	operatorClaims := jwt.NewOperatorClaims(operatorID)
	must(operatorClaims.Encode(operator))
	accountClaims := jwt.NewAccountClaims(accountID)
	accountClaims.Limits.JetStreamLimits = jwt.JetStreamLimits{MemoryStorage: -1, DiskStorage: -1, Streams: -1, Consumer: -1}
	resolver := &server.MemAccResolver{}
	if err := resolver.Store(accountID, must(accountClaims.Encode(operator))); err != nil {
		t.Fatal(err)
	}
	_, systemID := pair(nkeys.CreateAccount)
	if err := resolver.Store(systemID, must(jwt.NewAccountClaims(systemID).Encode(operator))); err != nil {
		t.Fatal(err)
	}
	s := testnats.Start(t, &server.Options{
		JetStream: true, StoreDir: t.TempDir(),
		TrustedOperators: []*jwt.OperatorClaims{operatorClaims}, AccountResolver: resolver, SystemAccount: systemID,
	})
	seed, err := user.Seed()
	if err != nil {
		t.Fatal(err)
	}
	text, err := jwt.FormatUserConfig(must(jwt.NewUserClaims(userID).Encode(account)), seed)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "user.creds")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return operated{s.ClientURL(), file}
}

// The connections recover after a restart of the server.
func TestConnect_ReconnectsAfterServerRestart(t *testing.T) {
	opts, err := configured(t, nil)
	if err != nil {
		t.Fatal(err)
	}
	opts.Port = freePorts(t, 1)[0] // nobody else takes it between the two servers
	s := testnats.Start(t, opts)
	url := s.ClientURL()
	d := startDispatcher(t, url)
	alice := connect(t, url, "alice")
	id := submitted(t, alice)
	s.Shutdown()
	s.WaitForShutdown()
	testbed.Eventually(t, "the connection is away", func() bool { return !alice.IsConnected() })
	testnats.Start(t, opts)
	testbed.Eventually(t, "the client and the dispatcher are back", func() bool {
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		m, err := alice.RequestWithContext(short, "aria.v1.req.task.alice.get", []byte(`{"id":"`+id+`"}`))
		return err == nil && m.Header.Get(micro.ErrorCodeHeader) == ""
	})
	d.Stop() // before the second server ends
}
