package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/internal/testbed/testbus"
)

// addTasks submits n tasks that do not begin.
func addTasks(t *testing.T, c *cluster, n int) {
	t.Helper()
	var in strings.Builder
	for i := range n {
		fmt.Fprintf(&in, "https://h.example/f%d\n", i)
	}
	if _, stderr, code := c.run(t, in.String(), "add", "-", "--not-before", "24h"); code != 0 {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
}

// count returns how many tasks of a status ls prints.
func count(t *testing.T, c *cluster, status string) int {
	t.Helper()
	stdout, stderr, code := c.run(t, "", "ls", "--status", status, "-o", "id")
	if code != 0 {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	return strings.Count(stdout, "\n")
}

// A cancel by a selection asks with the number of tasks: N does nothing, y does it.
func TestCancel_SelectionAsksOnTerminal(t *testing.T) {
	c := newCluster(t, true)
	addTasks(t, c, 1234)
	term := c.terminal(t, 100, 10, "cancel", "--status", "pending")
	term.Wait("cancel 1,234 tasks? [y/N]")
	term.Press("N", "Enter")
	if code := term.ExitCode(testbed.Patience); code != 1 {
		t.Errorf("after N the exit code is %d", code)
	}
	term.Wait("nothing was done")
	if n := count(t, c, "pending"); n != 1234 {
		t.Errorf("after N %d tasks are pending", n)
	}
	term = c.terminal(t, 100, 10, "cancel", "--status", "pending")
	term.Wait("cancel 1,234 tasks? [y/N]")
	term.Press("C-d")
	if code := term.ExitCode(testbed.Patience); code != 1 {
		t.Errorf("after Ctrl-D the exit code is %d", code)
	}
	term.Wait("\naria: nothing was done") // on a line of its own
	term = c.terminal(t, 100, 10, "cancel", "--status", "pending")
	term.Wait("cancel 1,234 tasks? [y/N]")
	term.Press("C-c")
	if code := term.ExitCode(testbed.Patience); code != 130 {
		t.Errorf("after Ctrl-C the exit code is %d", code)
	}
	term = c.terminal(t, 100, 10, "cancel", "--status", "pending")
	term.Wait("cancel 1,234 tasks? [y/N]")
	term.Press("y", "Enter")
	if code := term.ExitCode(testbed.Patience); code != 0 {
		t.Errorf("after y the exit code is %d", code)
	}
	term.Wait("cancel: 1,234 of 1,234 tasks", "cancel: 1,234 tasks")
	if n := count(t, c, "canceled"); n != 1234 {
		t.Errorf("after y %d tasks are canceled", n)
	}
}

// A selection acts on the tasks of the question: one that matches since then is left, and
// said.
func TestRemove_SelectionIsThatOfQuestion(t *testing.T) {
	c := newCluster(t, true)
	addTasks(t, c, 2)
	if _, stderr, code := c.run(t, "", "cancel", "--status", "pending", "-y"); code != 0 {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	term := c.terminal(t, 100, 10, "rm", "--status", "canceled")
	term.Wait("rm 2 tasks? [y/N]")
	addTasks(t, c, 1)
	if _, stderr, code := c.run(t, "", "cancel", "--status", "pending", "-y"); code != 0 {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	term.Press("y", "Enter")
	term.Wait("3 tasks match now; rm acts on the 2 of the question only", "rm: 2 tasks")
	if code := term.ExitCode(testbed.Patience); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if n := count(t, c, "canceled"); n != 1 {
		t.Errorf("%d tasks are left, want the one that came after the question", n)
	}
}

// The tasks are counted again after y only for a hint: a dispatcher that fails then does not stop
// the verb.
func TestVerbs_FailedSecondCountActs(t *testing.T) {
	nc := testbus.Connect(t, testbus.StartServer(t).ClientURL())
	lists := 0
	answer := func(m *nats.Msg) {
		reply := nats.NewMsg(m.Reply)
		switch {
		case strings.HasSuffix(m.Subject, ".cancel"):
			reply.Data = []byte(`{"tasks":[{"task":{"id":"a","status":"canceled"}}]}`)
		case lists == 0:
			lists++
			reply.Data = []byte(`{"tasks":[{"id":"a","client":"me","status":"pending"}],"next":""}`)
		default:
			reply.Header.Set(micro.ErrorCodeHeader, "500")
			reply.Header.Set(micro.ErrorHeader, "the store failed")
		}
		_ = m.RespondMsg(reply) // aria waits for it
	}
	if _, err := nc.Subscribe("aria.v1.req.task.me.*", answer); err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	c := &cluster{dir: t.TempDir(), env: []string{"NATS_URL=" + nc.ConnectedUrl(), "ARIA_CLIENT=me"}}
	term := c.terminal(t, 100, 10, "cancel", "--status", "pending")
	term.Wait("cancel 1 task? [y/N]")
	term.Press("y", "Enter")
	term.Wait("cancel: 1 task")
	if code := term.ExitCode(testbed.Patience); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// Without a terminal a selection needs --yes; ids do not, and each is acted on alone.
func TestVerbs_SelectionNeedsYesElsewhere(t *testing.T) {
	c := newCluster(t, true)
	addTasks(t, c, 3)
	stdout, stderr, code := c.run(t, "y\n", "cancel", "--status", "pending")
	if code != 2 || stdout != "" || !strings.Contains(stderr, "--yes") {
		t.Errorf("without --yes: exit code %d, stdout %q, stderr %q", code, stdout, stderr)
	}
	ids, _, _ := c.run(t, "", "ls", "-o", "id")
	stdout, stderr, code = c.run(t, ids, "pause", "-", "-o", "json")
	var list []map[string]any
	if err := json.Unmarshal([]byte(stdout), &list); err != nil || code != 0 || len(list) != 3 || list[0]["status"] != "paused" {
		t.Errorf("pause: exit code %d, stdout %q, stderr %q, %v", code, stdout, stderr, err)
	}
	one := strings.Fields(ids)[0]
	if stdout, stderr, code = c.run(t, "", "resume", one, "no-such-task"); code != 1 || stdout != one+"\n" || !strings.Contains(stderr, "no-such-task") {
		t.Errorf("resume: exit code %d, stdout %q, stderr %q", code, stdout, stderr)
	}
	for _, step := range []struct {
		args string
		want int
	}{{"cancel --status pending,paused -y", 3}, {"retry --status canceled -y", 3}, {"cancel --text h.example -y", 3}, {"rm --since 1h -y", 3}, {"rm --since 1h -y", 0}} {
		if stdout, stderr, code := c.run(t, "", strings.Fields(step.args)...); code != 0 || strings.Count(stdout, "\n") != step.want {
			t.Errorf("%s: exit code %d, stdout %q, stderr %q", step.args, code, stdout, stderr)
		}
	}
	for _, args := range []string{"cancel", "cancel x --status pending", "ls --status done", "ls --since yesterday", "cancel --status failed --progress x -y"} {
		if stdout, stderr, code := c.run(t, "", strings.Fields(args)...); code != 2 || stdout != "" || stderr == "" {
			t.Errorf("aria %s: exit code %d, stdout %q, stderr %q", args, code, stdout, stderr)
		}
	}
}

// 100,000 tasks are canceled by a selection in 20 seconds at most, with exact counts. A machine
// that is busy with other things takes longer, also to submit them.
func TestCancel_ManyTasksInTime(t *testing.T) {
	c := newCluster(t, true)
	const n = 100_000
	begin := time.Now()
	addTasks(t, c, n)
	limit := max(20*time.Second, 5*time.Since(begin))
	begin = time.Now()
	stdout, stderr, code := c.run(t, "", "cancel", "--status", "pending", "-y")
	took := time.Since(begin)
	if code != 0 || strings.Count(stdout, "\n") != n || !strings.HasSuffix(stderr, "cancel: 100,000 tasks\n") || took > limit {
		t.Errorf("exit code %d after %v, want %v at most, %d ids, stderr %q", code, took, limit, strings.Count(stdout, "\n"), stderr)
	}
	if stdout, stderr, code := c.run(t, "", "cancel", "--status", "pending", "-y"); code != 0 || stdout != "" || !strings.Contains(stderr, "no task is selected") {
		t.Errorf("again: exit code %d, stdout %q, stderr %q", code, stdout, stderr)
	}
	t.Logf("%d tasks were canceled in %v", n, took)
}
