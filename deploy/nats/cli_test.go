package nats_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/micro"

	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/internal/testbed/testdaemon"
)

// command runs the nats command as a person does, and returns what it prints and
// whether it succeeded.
type command func(arguments ...string) (printed string, ok bool)

// commandOf is the nats command with these flags before all others.
func commandOf(t *testing.T, flags ...string) command {
	t.Helper()
	program := testbed.RequireBinary(t, "nats")
	return func(arguments ...string) (string, bool) {
		t.Helper()
		cmd := exec.CommandContext(testbed.Context(t), program, append(flags, arguments...)...)
		cmd.Env = append(os.Environ(), "XDG_CONFIG_HOME="+t.TempDir(), "NATS_URL=", "NATS_CONTEXT=")
		out, err := cmd.CombinedOutput()
		t.Logf("nats %s: %v\n%s", strings.Join(arguments, " "), err, out)
		return string(out), err == nil
	}
}

// wants checks what a command prints.
func (c command) wants(t *testing.T, parts []string, arguments ...string) {
	t.Helper()
	printed, ok := c(arguments...)
	if !ok {
		t.Errorf("nats %s failed", strings.Join(arguments, " "))
	}
	for _, part := range parts {
		if !strings.Contains(printed, part) {
			t.Errorf("nats %s does not print %q", strings.Join(arguments, " "), part)
		}
	}
}

const later = `"url":"http://h.example/f","not_before":"2099-01-01T00:00:00Z"`

// The nats command finds the service and gets answers from it.
func TestCLI_FindsAndQueriesService(t *testing.T) {
	t.Parallel() // it waits for the command, most of its time
	nats := commandOf(t, "--server", testdaemon.Start(t).URL)
	nats.wants(t, []string{`"id":"a"`, `"client":"me"`, `"status":"pending"`}, "req", "aria.v1.req.task.me.submit", `{"id":"a",`+later+`}`)
	nats.wants(t, []string{"Nats-Service-Error-Code: 404", "Nats-Service-Error: there is no task nope"}, "req", "aria.v1.req.task.me.get", `{"id":"nope"}`)
	nats.wants(t, []string{"aria-dispatcher", "a download cluster"}, "micro", "ls")
	nats.wants(t, []string{"aria-dispatcher", "rtt="}, "micro", "ping", "aria-dispatcher")
	nats.wants(t, []string{"prefix: aria.v1", "store: memory", "aria.v1.req.task.*.submit", "aria.v1.req.worker.*.report", "request_schema"},
		"micro", "info", "aria-dispatcher")
	nats.wants(t, []string{"task-submit", "worker-heartbeat", "Average Time"}, "micro", "stats", "aria-dispatcher")

	printed, _ := nats("micro", "stats", "aria-dispatcher", "--json")
	var services []micro.Stats
	if err := json.Unmarshal([]byte(printed), &services); err != nil || len(services) != 1 {
		t.Fatalf("%d services, %v", len(services), err)
	}
	i := slices.IndexFunc(services[0].Endpoints, func(e *micro.EndpointStats) bool { return e.Name == "task-get" })
	if i < 0 {
		t.Fatal("task-get is not in the statistics")
	}
	if e := services[0].Endpoints[i]; e.NumRequests != 1 || e.NumErrors != 1 || e.LastError != "404:there is no task nope" {
		t.Errorf("statistics %+v", e)
	}
}

// The nats command publishes to the intake and shows its stream.
func TestCLI_PublishesToIntakeAndShowsIt(t *testing.T) {
	t.Parallel() // it waits for the command, most of its time
	nats := commandOf(t, "--server", testdaemon.Start(t).URL)
	nats.wants(t, []string{`"stream":"ARIA_INTAKE"`, `"seq":1`}, "req", "aria.v1.intake.me.submit", `{"id":"b",`+later+`}`)
	nats.wants(t, []string{`"seq":2`}, "req", "aria.v1.intake.me.submit", `{"id":"c","url":"gopher://h/x"}`)
	testbed.Eventually(t, "the bad one is a dead letter", func() bool {
		printed, ok := nats("stream", "get", "ARIA_DLQ", "--last-for", "aria.v1.dlq.intake.me")
		return ok && strings.Contains(printed, "Aria-Error: url: the scheme") && strings.Contains(printed, "gopher://h/x")
	})
	nats.wants(t, []string{`"id":"b"`}, "req", "aria.v1.req.task.me.get", `{"id":"b"}`)
	nats.wants(t, []string{"aria.v1.intake.*.submit", "WorkQueue", "New Per Subject", "prefix: aria.v1"}, "stream", "info", "ARIA_INTAKE")
	nats.wants(t, []string{"Explicit", "5.00s", "1,024", "prefix: aria.v1"}, "consumer", "info", "ARIA_INTAKE", "dispatcher")
}

// The nats command gets its answers in the inbox of the requester. Only what must not be
// answered has a short time: a busy machine needs longer for the other ones.
func TestCLI_AnswersArriveInRequesterInbox(t *testing.T) {
	t.Parallel() // it waits for the command, most of its time
	url := testdaemon.Start(t).URL
	with := func(inbox string, flags ...string) command {
		return commandOf(t, append([]string{"--server", url, "--inbox-prefix", inbox}, flags...)...)
	}
	with("_INBOX_me").wants(t, []string{`"id":"a"`}, "req", "aria.v1.req.task.me.submit", `{"id":"a",`+later+`}`)
	with("_INBOX_observer").wants(t, []string{`"total_tasks":1`}, "req", "aria.v1.req.query.status", "")
	with("_INBOX_admin").wants(t, []string{"there is no worker w1"}, "req", "aria.v1.req.admin.worker.drain", `{"id":"w1"}`)
	for _, role := range []string{"_INBOX_observer", "_INBOX_admin"} {
		with(role).wants(t, []string{"aria-dispatcher"}, "micro", "ls")
	}
	if printed, _ := with("_INBOX_you", "--timeout", "1s")("req", "aria.v1.req.task.me.cancel", `{"id":"a"}`); strings.Contains(printed, "Received") {
		t.Errorf("an answer went to another's inbox: %s", printed)
	}
	with("_INBOX").wants(t, []string{`"status":"pending"`}, "req", "aria.v1.req.task.me.get", `{"id":"a"}`)
}

// contextOf is the nats command with the context that keys made.
func contextOf(t *testing.T, url, name string, flags ...string) command {
	t.Helper()
	return commandOf(t, append([]string{"--context", filepath.Join(material, name+".json"), "--server", url}, flags...)...)
}

// The nats command works with the context of each role.
func TestCLI_WorksWithContextOfEachRole(t *testing.T) {
	t.Parallel() // it waits for the command, most of its time
	url := startServer(t, nil).ClientURL()
	startDispatcher(t, url)
	alice, observer, admin := contextOf(t, url, "alice"), contextOf(t, url, "observer"), contextOf(t, url, "admin")
	alice.wants(t, []string{`"client":"alice"`}, "req", "aria.v1.req.task.alice.submit", `{"id":"a",`+later+`}`)
	alice.wants(t, []string{`"stream":"ARIA_INTAKE"`}, "req", "aria.v1.intake.alice.submit", `{}`)
	for _, reader := range []command{observer, admin} {
		reader.wants(t, []string{"aria-dispatcher"}, "micro", "ls")
		reader.wants(t, []string{"store: memory"}, "micro", "info", "aria-dispatcher")
		reader.wants(t, []string{`"total_tasks":1`}, "req", "aria.v1.req.query.status", "")
		reader.wants(t, []string{"aria.v1.evt."}, "--js-api-prefix", "aria.js", "stream", "get", "ARIA_EVENTS", "1")
	}
	testbed.Eventually(t, "an operator reads the dead letter", func() bool {
		printed, ok := admin("--js-api-prefix", "aria.js", "stream", "get", "ARIA_DLQ", "1")
		return ok && strings.Contains(printed, "Aria-Error: url: is missing")
	})
	if printed, ok := contextOf(t, url, "observer", "--timeout", "2s")("--js-api-prefix", "aria.js", "stream", "get", "ARIA_DLQ", "1"); ok {
		t.Errorf("an observer read %s", printed)
	}
	if printed, _ := contextOf(t, url, "alice", "--timeout", "2s")("req", "aria.v1.req.task.bob.get", `{"id":"a"}`); strings.Contains(printed, "Received") || !strings.Contains(printed, "ermissions Violation") {
		t.Errorf("alice asked as bob and got %s", printed)
	}
}
