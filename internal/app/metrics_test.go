package app

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

// ask sends a request and returns its answer.
func ask(t *testing.T, nc *nats.Conn, subject, body string) string {
	t.Helper()
	m, err := nc.Request("aria.v1.req."+subject, []byte(body), 5*time.Second)
	if err != nil {
		t.Fatalf("%s: %v", subject, err)
	}
	return string(m.Data)
}

// awaitMetrics scrapes until each line is there: figures are up to a second old.
func awaitMetrics(t *testing.T, d *Daemon, lines ...string) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		code, text := get(t, d, "/metrics")
		if code != http.StatusOK {
			t.Fatalf("/metrics: %d", code)
		}
		missing := ""
		for _, line := range lines {
			if !strings.Contains(text, "\n"+line) {
				missing = line
			}
		}
		if missing == "" {
			return
		}
		if time.Now().After(deadline) {
			name, _, _ := strings.Cut(missing, "{")
			var near []string
			for l := range strings.Lines(text) {
				if strings.HasPrefix(l, name) {
					near = append(near, l)
				}
			}
			t.Fatalf("there is no line %s:\n%s", missing, strings.Join(near, ""))
		}
		<-tick.C
	}
}

// A running dispatcher counts a task from its submit to its end, requests, commits and
// the size of its store.
func TestMetrics_CountLifeOfATask(t *testing.T) {
	c := testConfig(t)
	c.Database.Type = "sqlite"
	c.Metrics.Labels = []string{"worker"}
	d := newDaemon(t, c)
	awaitMetrics(t, d, "aria_leader 1", `aria_tasks{status="completed"} 0`) // before Run too
	stop := run(t, d)
	nc := d.conn.Current()
	ask(t, nc, "worker.w1.heartbeat", `{"instance":"i1","epoch":1,"seq":1,"state":"ready","total_slots":1}`)
	for i := range 2 {
		ask(t, nc, "task.shop.submit", fmt.Sprintf(`{"id":"task-%d","url":"https://files.example/%d"}`, i, i))
	}
	if got := ask(t, nc, "task.shop.submit", `{"url":"ftp://"}`); !strings.Contains(got, "400") {
		t.Fatalf("a bad submit: %s", got)
	}
	awaitMetrics(t, d, `aria_tasks{status="queued"} 1`, `aria_tasks_waiting{reason="no_slot"} 1`, `aria_workers{status="busy"} 1`, "aria_slots_used 1")
	ask(t, nc, "worker.w1.report", `{"id":"task-0","attempt":1,"status":"completed","completed_length":1000,"total_length":1000}`)
	if _, err := nc.Request("aria.v1.intake.bank.submit", []byte(`{"url":"https://files.example/3"}`), 5*time.Second); err != nil {
		t.Fatal(err)
	}
	awaitMetrics(t, d,
		`aria_build_info{commit=`, `aria_tasks{status="completed"} 1`, "aria_nats_connected 1",
		`aria_tasks_submitted_total{via="request"} 2`, `aria_tasks_submitted_total{via="intake"} 1`, `aria_tasks_rejected_total{code="400"} 1`,
		`aria_tasks_finished_total{status="completed"} 1`, `aria_attempts_total{outcome="completed",worker="w1"} 1`,
		`aria_downloaded_bytes_total{worker="w1"} 1000`, `aria_task_wait_seconds_count{priority="normal"} 2`, "aria_assign_ack_seconds_count 1",
		`aria_heartbeats_total{result="applied"} 1`, `aria_requests_total{code="200",verb="task.submit"} 2`,
		`aria_requests_total{code="400",verb="task.submit"} 1`, `aria_requests_total{code="200",verb="worker.report"} 1`,
	)
	_, text := get(t, d, "/metrics")
	for _, zero := range []string{`aria_commit_seconds_count{store="sqlite"} 0`, "aria_turn_seconds_count 0", "aria_store_bytes 0", "aria_turn_busy_seconds_total 0"} {
		if strings.Contains(text, "\n"+zero+"\n") {
			t.Errorf("after commits: %s", zero)
		}
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}
