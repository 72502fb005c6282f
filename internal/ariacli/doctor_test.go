package ariacli

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
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
	var out, errOut bytes.Buffer
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
		{"doctor --inbox-prefix _INBOX_x --timeout 500ms", 0, 5, []string{"dispatcher error it refuses the inbox prefix _INBOX_x,"}},
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
			// The time would bound the connection too, which a busy machine makes slow.
			nc, says := testbus.Connect(t, url), "no answer within 500ms from"
			if args == "doctor" {
				says = "aria: the check dispatcher failed\n" // stdout has the reason
			}
			r := ariaOn(t, nc, url, 0, strings.NewReader(""), append(strings.Fields(args), "--timeout", "500ms")...)
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
	for args, says := range map[string]string{
		"ls --inbox-prefix _INBOX_x":                    "it refuses the inbox prefix _INBOX_x, unless it is in another account; use --inbox-prefix _INBOX or _INBOX_me\n",
		"ls --inbox-prefix _INBOX_observer":             "use --inbox-prefix _INBOX or _INBOX_me\n",
		"workers --inbox-prefix _INBOX_me":              "use --inbox-prefix _INBOX or _INBOX_observer\n",
		"workers --inbox-prefix _INBOX_admin":           "use --inbox-prefix _INBOX or _INBOX_observer\n",
		"drain w1 --inbox-prefix _INBOX_observer":       "use --inbox-prefix _INBOX or _INBOX_admin\n",
		"ls --client admin --inbox-prefix _INBOX_admin": "use --inbox-prefix _INBOX\n",
		"ls --inbox-prefix _INBOX_me":                   "",
	} {
		r := aria(t, url, 0, append(strings.Fields(args), "--timeout", "500ms")...)
		if (r.code == 0) != (says == "") || !strings.HasSuffix(r.stderr, says) {
			t.Errorf("aria %s: exit code %d, stderr %q, want %q", args, r.code, r.stderr, says)
		}
	}
}

// File names are offered where a command takes files, and nowhere else.
func TestCompletion_OffersFilesForFilesOnly(t *testing.T) {
	const anyFile, noFile = ":0\n", ":4\n"
	for args, want := range map[string]string{
		"add ":               anyFile,
		"add --input ":       anyFile,
		"ls --creds ":        anyFile,
		"ls ":                noFile,
		"get ":               noFile,
		"top ":               noFile,
		"dlq ls ":            noFile,
		"dlq show ":          noFile,
		"version ":           noFile,
		"add --folder ":      noFile,
		"ls --client ":       noFile,
		"ls -o js":           "table\nwide\njson\njsonl\nid\ntemplate=\n" + noFile,
		"watch --progress b": "auto\nbar\nplain\nnone\n" + noFile,
		"workers --status d": "online\nbusy\ndraining\noffline\nerror\n" + noFile,
		"add --priority u":   "low\nnormal\nhigh\nurgent\n" + noFile,
		"completion z":       "zsh\n" + noFile,
	} {
		if r := aria(t, "nats://127.0.0.1:1", 0, append([]string{"__complete"}, strings.Split(args, " ")...)...); r.code != 0 || !strings.HasPrefix(r.stdout, want) {
			t.Errorf("%q offers %q, want %q", args, r.stdout, want)
		}
	}
}

// A completion ends after 200 ms, whether the cluster does not answer or the server of NATS
// does not greet, and prints no error between the suggestions.
func TestCompletion_EndsInTime(t *testing.T) {
	silent := silentServer(t)
	mute, err := net.Listen("tcp", "127.0.0.1:0") // accepts, and says nothing
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = mute.Close() })
	for _, url := range []string{silent, "nats://" + mute.Addr().String(), "nats://127.0.0.1:1"} {
		for _, args := range [][]string{{"cancel", ""}, {"drain", ""}, {"ls", "--label", ""}} {
			began := time.Now()
			r := aria(t, url, 0, append([]string{"__complete"}, args...)...)
			if took := time.Since(began); r.code != 0 || !strings.HasPrefix(r.stdout, ":4\n") || took > 10*completionTime {
				t.Errorf("%v on %s: after %v %+v", args, url, took, r)
			}
		}
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
