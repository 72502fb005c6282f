package ariacli

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/aria-cluster/dispatcher/internal/app"
	"github.com/aria-cluster/dispatcher/internal/config"
	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/internal/testbed/testbus"
	"github.com/aria-cluster/dispatcher/internal/testbed/testnats"
	"github.com/aria-cluster/dispatcher/pkg/bus"
)

// ran is what a run of aria has printed.
type ran struct {
	stdout, stderr string
	code           int
}

// aria runs aria with a clock that is wrong by skew.
func aria(t *testing.T, url string, skew time.Duration, args ...string) ran {
	t.Helper()
	return ariaWith(t, url, skew, strings.NewReader(""), args...)
}

// ariaWith is aria with a stdin.
func ariaWith(t *testing.T, url string, skew time.Duration, stdin io.Reader, args ...string) ran {
	t.Helper()
	return ariaOn(t, nil, url, skew, stdin, args...)
}

// ariaOn is ariaWith on a connection to the server of the URL; nil: it makes one.
func ariaOn(t *testing.T, nc *nats.Conn, url string, skew time.Duration, stdin io.Reader, args ...string) ran {
	t.Helper()
	var out, errOut testbed.Log // a command may write from several goroutines
	env := map[string]string{"NATS_URL": url, "ARIA_CLIENT": "me"}
	s := newSession(Process{Args: args, Getenv: func(name string) string { return env[name] }, Stdin: stdin, Stdout: &out, Stderr: &errOut})
	s.now, s.nc = func() time.Time { return time.Now().Add(skew) }, nc
	defer s.close()
	root := newRoot(s)
	root.SetArgs(args)
	root.SetOut(&out)
	root.SetErr(&errOut)
	code := s.report(root.ExecuteContext(testbed.Context(t)))
	return ran{out.String(), errOut.String(), code}
}

// ariaInShortTime is aria with half a second for each request. It connects before, with the same
// inbox prefix: the time would bound the connection too, which a busy machine makes slow.
func ariaInShortTime(t *testing.T, url, inbox string, args ...string) ran {
	t.Helper()
	nc, err := bus.Connect(testbed.Context(t), bus.Options{URL: url, InboxPrefix: inbox})
	if err != nil {
		t.Fatal(err)
	}
	return ariaOn(t, nc, url, 0, strings.NewReader(""), append(args, "--timeout", "500ms")...)
}

// dispatcherOf runs a dispatcher of a version on a NATS server without JetStream.
func dispatcherOf(t *testing.T, version string) (url string) {
	t.Helper()
	url = testnats.Start(t, &server.Options{}).ClientURL()
	cfg := config.DefaultDispatcher()
	cfg.NATS.URL, cfg.HTTP.Listen = config.URLs(url), ""
	ctx, cancel := context.WithCancel(context.Background())
	d, err := app.New(ctx, cfg, version, slog.New(slog.DiscardHandler))
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	testbed.Receive(t, d.Serving())
	return url
}

// doctor names the version, the clock, JetStream, missing workers and another prefix, each
// with what to do, and they are no errors as long as a dispatcher answers.
func TestDoctor_NamesEachFault(t *testing.T) {
	url := dispatcherOf(t, "v9.9.9")
	for _, x := range []struct {
		args string
		skew time.Duration
		code int
		says []string // check, status and a part of the detail
	}{
		{"doctor", 0, 0, []string{
			"nats ok nats-server", "jetstream warning missing", "client ok you may act for the client me", "role ok operator",
			"dispatcher warning version v9.9.9, alone; this aria is", "workers warning none is active", "clock ok agrees",
		}},
		{"doctor", time.Hour + 30*time.Second, 0, []string{"clock warning differs from this one by -1h0m"}},
		{"doctor", -time.Hour - 30*time.Second, 0, []string{"clock warning differs from this one by 1h0m"}},
		{"doctor --prefix other", 0, 5, []string{"dispatcher error no dispatcher answers under the prefix other", "prefix warning try --prefix aria.v1"}},
	} {
		r := aria(t, url, x.skew, append(strings.Fields(x.args), "-o", "json")...)
		var findings []finding
		if err := json.Unmarshal([]byte(r.stdout), &findings); err != nil || r.code != x.code {
			t.Errorf("%s: exit code %d, %v; stdout %q, stderr %q", x.args, r.code, err, r.stdout, r.stderr)
		}
		if strings.Contains(r.stdout+r.stderr, "aria doctor") {
			t.Errorf("%s refers to itself: %s%s", x.args, r.stdout, r.stderr)
		}
		for _, says := range x.says {
			part := strings.SplitN(says, " ", 3)
			found := false
			for _, f := range findings {
				found = found || f.Check == part[0] && f.Status == part[1] && strings.Contains(f.Detail, part[2])
			}
			if !found {
				t.Errorf("%s does not say %q: %s", x.args, says, r.stdout)
			}
		}
	}
}

// silentServer starts a server of NATS where somebody takes each request and answers none.
func silentServer(t *testing.T) (url string) {
	t.Helper()
	url = testbus.StartServer(t).ClientURL()
	nc := testbus.Connect(t, url)
	_, err := nc.Subscribe("aria.v1.req.>", func(*nats.Msg) {})
	if err == nil {
		err = nc.Flush() // the requests come over other connections
	}
	if err != nil {
		t.Fatal(err)
	}
	return url
}

// A request that nobody answers ends after --timeout with a sentence and exit code 5.
func TestTimeout_UnansweredRequestIsTryAgain(t *testing.T) {
	url := silentServer(t)
	for _, args := range []string{"ls", "show x", "cancel x", "add https://h.example/a", "status", "doctor", "top", "update x --set-priority high"} {
		t.Run(args, func(t *testing.T) {
			t.Parallel()
			says := "no answer within 500ms from"
			if args == "doctor" {
				says = "aria: the check dispatcher failed\n" // stdout has the reason
			}
			r := ariaInShortTime(t, url, "", strings.Fields(args)...)
			if r.code != exitTryAgain || !strings.Contains(r.stderr, says) || strings.Count(r.stderr, "aria: ") != 1 {
				t.Errorf("%+v", r)
			}
		})
	}
}

// A dispatcher that refuses the inbox prefix does not answer: the error names the prefixes
// that it answers, and not a repetition.
func TestTimeout_RefusedInboxIsNamed(t *testing.T) {
	url := dispatcherOf(t, "v9.9.9")
	for _, x := range []struct{ prefix, args, says string }{
		{"_INBOX_x", "ls", "it refuses the inbox prefix _INBOX_x, unless it is in another account; use --inbox-prefix _INBOX or _INBOX_me\n"},
		{"_INBOX_observer", "ls", "use --inbox-prefix _INBOX or _INBOX_me\n"},
		{"_INBOX_me", "workers", "use --inbox-prefix _INBOX or _INBOX_observer\n"},
		{"_INBOX_admin", "workers", "use --inbox-prefix _INBOX or _INBOX_observer\n"},
		{"_INBOX_observer", "drain w1", "use --inbox-prefix _INBOX or _INBOX_admin\n"},
		{"_INBOX_admin", "ls --client admin", "use --inbox-prefix _INBOX\n"},
	} {
		r := ariaInShortTime(t, url, x.prefix, strings.Fields(x.args)...)
		if r.code != exitTryAgain || !strings.HasSuffix(r.stderr, x.says) {
			t.Errorf("aria %s with %s: exit code %d, stderr %q, want %q", x.args, x.prefix, r.code, r.stderr, x.says)
		}
	}
	r := ariaInShortTime(t, url, "_INBOX_x", "doctor")
	if r.code != exitTryAgain || !strings.Contains(r.stdout, "it refuses the inbox prefix _INBOX_x,") || strings.Contains(r.stdout+r.stderr, "aria doctor") {
		t.Errorf("doctor: %+v", r)
	}
	if r = aria(t, url, 0, "ls", "--inbox-prefix", "_INBOX_me"); r.code != exitOK {
		t.Errorf("with the own prefix: %+v", r)
	}
}

// status prints the dispatcher, the speed and, wide, the clients.
func TestStatus_NamesDispatcherAndClients(t *testing.T) {
	url := dispatcherOf(t, "v9.9.9")
	if r := aria(t, url, 0, "add", "https://h.example/a"); r.code != 0 {
		t.Fatalf("%+v", r)
	}
	plain, wide := aria(t, url, 0, "status"), aria(t, url, 0, "status", "-o", "wide")
	for _, text := range []string{"dispatcher", "v9.9.9 alone\n", "0 B/s", "waiting: "} {
		if !strings.Contains(plain.stdout, text) || !strings.Contains(wide.stdout, text) {
			t.Errorf("status does not say %q: %s", text, plain.stdout)
		}
	}
	if text := "1 waiting, 0 active"; strings.Contains(plain.stdout, text) || !strings.Contains(wide.stdout, "client me") || !strings.Contains(wide.stdout, text) {
		t.Errorf("wide: %s", wide.stdout)
	}
}
