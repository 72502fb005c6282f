package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/internal/testbed/testbus"
	"github.com/aria-cluster/dispatcher/pkg/bus/client"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// restricted starts a NATS server without JetStream and without a dispatcher, whose only
// user may do what the client alice may do.
func restricted(t *testing.T) *cluster {
	t.Helper()
	may := func(subjects ...string) *server.SubjectPermission { return &server.SubjectPermission{Allow: subjects} }
	n, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, NoLog: true, NoSigs: true,
		Users: []*server.User{{Username: "alice", Password: "secret-of-alice", Permissions: &server.Permissions{
			Publish: may("aria.v1.req.task.alice.>", "$JS.API.INFO"), Subscribe: may("_INBOX.>", "aria.v1.evt.task.alice.>"),
		}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	go n.Start()
	t.Cleanup(func() { n.Shutdown(); n.WaitForShutdown() })
	if !n.ReadyForConnections(10 * time.Second) {
		t.Fatal("the server does not start")
	}
	return &cluster{dir: t.TempDir(), url: n.ClientURL(), env: []string{"NATS_URL=" + n.ClientURL(), "NATS_USER=alice", "NATS_PASSWORD=secret-of-alice", "ARIA_CLIENT=alice"}}
}

// Each error of the connection and of permissions says what is wrong and has its exit
// code; the password is in none.
func TestErrors_SayWhatIsWrong(t *testing.T) {
	c := restricted(t)
	for _, x := range []struct {
		args string
		code int
		says []string
	}{
		{"ls", 5, []string{"no dispatcher", "prefix aria.v1"}},
		{"ls --client bob", 4, []string{"publish to aria.v1.req.task.bob.list"}},
		{"workers", 4, []string{"publish to aria.v1.req.query.worker.list"}},
		{"dlq ls", 4, []string{"publish to aria.v1.req.admin.dlq.list"}},
		{"events --all-clients", 4, []string{"subscribe to aria.v1.evt."}},
		{"ls --inbox-prefix other", 4, []string{"subscribe to other.>"}},
		{"ls --user bob", 4, []string{"refuses the credentials"}},
		{"ls --prefix other", 4, []string{"publish to other.req.task.alice.list"}},
		{"ls --server nats://alice:secret-of-alice@127.0.0.1:1 --timeout 1s", 5, []string{"no NATS server answers"}},
		{"ls --trace", 5, []string{"aria.v1.req.task.alice.list: "}},
	} {
		stdout, stderr, code := c.run(t, "", strings.Fields(x.args)...)
		if code != x.code || stdout != "" || strings.Contains(stderr, "secret-of-alice") {
			t.Errorf("aria %s: exit code %d, want %d; stdout %q, stderr %q", x.args, code, x.code, stdout, stderr)
		}
		for _, text := range x.says {
			if !strings.Contains(stderr, text) {
				t.Errorf("aria %s does not say %q: %s", x.args, text, stderr)
			}
		}
	}
	stdout, stderr, code := c.run(t, "", "doctor")
	if code != 5 || !strings.Contains(stdout, "jetstream   warning  missing") || !strings.Contains(stdout, "dispatcher  error    no dispatcher") {
		t.Errorf("doctor: exit code %d, stdout %q, stderr %q", code, stdout, stderr)
	}
}

// events prints what happens from then on, and ends after --count.
func TestEvents_PrintsChanges(t *testing.T) {
	c := newCluster(t, true)
	me, err := client.New(testbus.Connect(t, c.url), "me")
	if err != nil {
		t.Fatal(err)
	}
	term := c.terminal(t, 140, 10, "events", "--count", "2")
	term.Wait("events are printed from now on")
	if _, err := me.Submit(testbed.Context(t), &model.TaskSpec{ID: "one", URL: "https://h.example/a", NotBefore: model.Time(time.Now().Add(time.Hour).UnixMilli())}); err != nil {
		t.Fatal(err)
	}
	term.Wait("pending", "one")
	if _, err := me.Cancel(testbed.Context(t), "one"); err != nil {
		t.Fatal(err)
	}
	term.Wait("canceled")
	if code := term.ExitCode(testbed.Patience); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// withContext is restricted with the context lab for its user, which is selected, and without
// variables that name a server or a credential.
func withContext(t *testing.T) *cluster {
	t.Helper()
	c := restricted(t)
	folder := filepath.Join(c.dir, "nats")
	if err := os.MkdirAll(filepath.Join(folder, "context"), 0o700); err != nil {
		t.Fatal(err)
	}
	for path, text := range map[string]string{
		"context.txt":      "lab\n",
		"context/lab.json": fmt.Sprintf(`{"url":%q,"user":"alice","password":"secret-of-alice"}`, c.url),
	} {
		if err := os.WriteFile(filepath.Join(folder, path), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c.env = []string{"XDG_CONFIG_HOME=" + c.dir, "ARIA_CLIENT=alice"}
	return c
}

// The context that "nats context select" has chosen names the server, unless a server or
// another context is named.
func TestConnect_SelectedContextCounts(t *testing.T) {
	c := withContext(t)
	for args, says := range map[string]string{
		"ls":                                 "no dispatcher answers under the prefix aria.v1 on " + c.url,
		"ls --server nats://127.0.0.1:1":     "no NATS server answers at nats://127.0.0.1:1 ",
		"ls --context other":                 `unknown context "other"`,
		"ls --context lab --server " + c.url: "no dispatcher answers under the prefix aria.v1 on " + c.url,
		"ls --context lab --user alice":      "--user needs a password",
		"ls --user alice":                    "--user needs a password",
	} {
		if _, stderr, _ := c.run(t, "", strings.Fields(args)...); !strings.Contains(stderr, says) {
			t.Errorf("aria %s: stderr %q, want %q", args, stderr, says)
		}
	}
}

// --user without NATS_PASSWORD asks for the password on a terminal, also if a context is
// selected or named.
func TestConnect_UserIsAskedForPassword(t *testing.T) {
	c := withContext(t)
	term := c.terminal(t, 140, 10, "ls", "--user", "alice") // of the local server, which is not asked
	term.Wait("password of alice: ")
	term.Press("C-c")
	if code := term.ExitCode(testbed.Patience); code != 130 {
		t.Errorf("exit code %d", code)
	}
	term = c.terminal(t, 140, 10, "ls", "--user", "alice", "--context", "lab")
	term.Wait("password of alice: ")
	term.Press("secret-of-alice", "Enter")
	term.Wait("no dispatcher answers under the prefix aria.v1 on " + c.url)
}
