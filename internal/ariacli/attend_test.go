package ariacli

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/aria-cluster/dispatcher/internal/config"
	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/internal/testbed/testdaemon"
	"github.com/aria-cluster/dispatcher/internal/testbed/testnats"
)

// onServer runs a dispatcher on a NATS server that is not its own.
func onServer(t *testing.T, url, store string) *testdaemon.Dispatcher {
	t.Helper()
	return testdaemon.Start(t, func(c *config.Dispatcher) {
		c.NATS.URL, c.Database.Type, c.Database.Path = config.URLs(url), "sqlite", store
	})
}

// following runs aria with --trace until the test ends, and returns what it prints. If it ends
// before, the error is given to ended.
func following(t *testing.T, url string, args []string, ended func(error)) *testbed.Log {
	t.Helper()
	log := new(testbed.Log)
	s := newSession(Process{Args: args, Getenv: func(string) string { return "" }, Stdin: strings.NewReader(""), Stdout: log, Stderr: log})
	t.Cleanup(s.close)
	root := newRoot(s)
	root.SetArgs(append(args, "--client", "me", "--server", url, "--trace"))
	testbed.Run(t, func(ctx context.Context) error {
		if err := root.ExecuteContext(ctx); ctx.Err() == nil {
			ended(err)
		}
		return nil
	})
	return log
}

// The commands that follow events say when the dispatcher or NATS is lost, and when they
// answer again, and continue.
func TestAttend_LossAndReturnAreSaid(t *testing.T) {
	srv := testnats.Start(t, &server.Options{})
	url, store := srv.ClientURL(), filepath.Join(t.TempDir(), "store.db")
	first := onServer(t, url, store)
	if r := aria(t, url, 0, "add", "https://h.example/a", "--id", "one", "--not-before", "24h"); r.code != 0 {
		t.Fatalf("%+v", r)
	}
	logs := make(map[string]*testbed.Log)
	eachSays := func(text string, times int) {
		t.Helper()
		for args, log := range logs {
			testbed.Eventually(t, fmt.Sprintf("aria %s says %q", args, text), func() bool { return strings.Count(log.String(), text) >= times })
		}
	}
	for _, args := range []string{"events", "watch", "watch one", "ls -w", "get https://h.example/second"} {
		logs[args] = following(t, url, strings.Fields(args), func(err error) { t.Errorf("aria %s has ended: %v", args, err) })
		eachSays("aria.v1.req.task.me.list: ", 1) // it has begun
	}
	for _, args := range []string{"watch", "ls -w"} { // which have the last one by an event
		testbed.Eventually(t, args+" has the last task", func() bool { return strings.Contains(logs[args].String(), "second") })
	}
	first.Stop()
	eachSays("no dispatcher answers under the prefix aria.v1; waiting for it", 1)
	second := onServer(t, url, store)
	eachSays("the dispatcher answers again", 1)
	second.Stop()
	eachSays("no dispatcher answers under the prefix aria.v1; waiting for it", 2)
	srv.Shutdown()
	eachSays("the connection to NATS at "+url+" was lost; waiting for it", 1)
}

// A task that the dispatcher has no longer is unknown, not canceled, and keeps its name.
func TestFollowed_LostTaskIsUnknown(t *testing.T) {
	url := testnats.Start(t, &server.Options{}).ClientURL()
	onNATS := func(c *config.Dispatcher) { c.NATS.URL = config.URLs(url) }
	d := testdaemon.Start(t, onNATS)
	if r := aria(t, url, 0, "add", "https://h.example/film.iso", "--id", "one", "--not-before", "24h"); r.code != 0 {
		t.Fatalf("%+v", r)
	}
	logs, errs := make(map[string]*testbed.Log), make(map[string]chan error)
	for _, args := range []string{"watch one", "get https://h.example/film.iso", "add --wait https://h.example/film.iso"} {
		ended := make(chan error, 1)
		errs[args] = ended
		logs[args] = following(t, url, strings.Fields(args), func(err error) { ended <- err })
		testbed.Eventually(t, args+" shows the task", func() bool { return strings.Contains(logs[args].String(), "film.iso: pending") })
	}
	d.Stop()
	testdaemon.Start(t, onNATS) // its store is empty
	for args, ended := range errs {
		err := testbed.Receive(t, ended)
		said := new(session).asFailure(err).said.Message
		if !strings.Contains(logs[args].String(), "film.iso: unknown: there is no task ") || strings.Contains(said, "canceled") || !strings.Contains(said, "there is no task ") {
			t.Errorf("aria %s: %v\n%s", args, err, logs[args])
		}
	}
}

// A command that only follows events fails if no dispatcher is there.
func TestAttend_NoDispatcherIsTryAgain(t *testing.T) {
	url := testnats.Start(t, &server.Options{}).ClientURL()
	for _, args := range []string{"watch", "events", "ls -w", "watch one", "watch --all-clients"} {
		r := aria(t, url, 0, append(strings.Fields(args), "--prefix", "nope.v1")...)
		if r.code != exitTryAgain || !strings.Contains(r.stderr, "no dispatcher answers under the prefix nope.v1") {
			t.Errorf("aria %s: %+v", args, r)
		}
	}
}
