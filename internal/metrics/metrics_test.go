package metrics

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/aria-cluster/dispatcher/internal/engine"
	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// sample is figures in which no value is another's.
func sample() Sources {
	return Sources{
		Figures: func() engine.Figures {
			return engine.Figures{
				Tasks:         model.Counts{model.StatusPending: 7, model.StatusCompleted: 5_000_000},
				Waiting:       map[engine.WaitReason]int{engine.WaitNoSlot: 4, engine.WaitHostCooldown: 3},
				OldestWaiting: map[model.Priority]model.Duration{model.PriorityHigh: model.Seconds(61)},
				DownloadSpeed: 12_345, Workers: map[model.WorkerStatus]int{model.WorkerOnline: 2},
				Slots: 20, UsedSlots: 11, HeartbeatAgeMax: model.Seconds(13),
			}
		},
		InboxDepth: func() int { return 17 }, StoreBytes: func() int64 { return 4096 }, LostCommits: func() int64 { return 3 }, UnmetSync: func() bool { return true }, LeaderConflict: func() bool { return true }, Leads: func() (bool, int64) { return true, 0 },
		NATS:   func() (bool, uint64) { return true, 6 },
		Intake: func() Intake { return Intake{Pending: 8, Parked: 9, DeadLetters: 10} },
	}
}

func testMetrics(labels ...string) *Metrics {
	return New(Options{
		Version: "1.2.3", Commit: "abc", Go: "go1.26", Schema: 4, Store: "sqlite",
		Verbs: []string{"task.submit", "query.status"}, Labels: labels, Sources: sample(),
	})
}

// scrape returns the metrics as Prometheus' text.
func scrape(t testing.TB, m *Metrics) string {
	t.Helper()
	w := httptest.NewRecorder()
	m.Handler(slog.New(slog.DiscardHandler)).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if w.Code != http.StatusOK {
		t.Fatalf("%d: %s", w.Code, w.Body)
	}
	return w.Body.String()
}

// wantLines checks that each line is among the text.
func wantLines(t *testing.T, text string, lines ...string) {
	t.Helper()
	all := strings.Split(text, "\n")
	for _, line := range lines {
		if !slices.Contains(all, line) {
			name, _, _ := strings.Cut(strings.NewReplacer("{", " ", "_count", "").Replace(line), " ")
			var near []string
			for _, l := range all {
				if strings.HasPrefix(l, name) {
					near = append(near, l)
				}
			}
			t.Errorf("there is no line %s; of %s there is\n\t%s", line, name, strings.Join(near, "\n\t"))
		}
	}
}

// The names and types follow Prometheus' conventions.
func TestMetrics_PassPromlint(t *testing.T) {
	problems, err := testutil.GatherAndLint(testMetrics(LabelClient, LabelWorker).Gatherer())
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

// promtool accepts what a scrape answers.
func TestMetrics_PassPromtool(t *testing.T) {
	promtool := testbed.RequireBinary(t, "promtool")
	for _, labels := range [][]string{nil, {LabelClient, LabelWorker}} {
		cmd := exec.Command(promtool, "check", "metrics")
		cmd.Stdin = strings.NewReader(scrape(t, testMetrics(labels...)))
		if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("promtool check metrics: %v\n%s", err, out)
		}
	}
}

// Every metric is there from the start, each series whose labels are bounded at 0.
func TestMetrics_EverySeriesExistsAtStart(t *testing.T) {
	text := scrape(t, testMetrics())
	var want []string
	series := func(name, label string, values ...string) {
		for _, v := range values {
			want = append(want, fmt.Sprintf("%s{%s=%q} 0", name, label, v))
		}
	}
	series("aria_tasks_submitted_total", "via", "request", "intake", "http", "rpc")
	series("aria_tasks_rejected_total", "code", "400", "403", "404", "409", "413", "429", "500", "503", "other")
	series("aria_tasks_finished_total", "status", "completed", "failed", "canceled")
	outcomes := []string{"completed", "retryable", "permanent", "worker", "rejected", "lost", "timeout"}
	series("aria_attempts_total", "outcome", outcomes...)
	series("aria_attempt_seconds_count", "outcome", outcomes...)
	series("aria_task_wait_seconds_count", "priority", "low", "normal", "high", "urgent")
	series("aria_task_duration_seconds_count", "status", "completed", "failed", "canceled")
	series("aria_heartbeats_total", "result", "applied", "stale", "conflict")
	series("aria_commit_seconds_count", "store", "sqlite")
	series("aria_commit_errors_total", "kind", "unavailable", "refused", "other")
	series("aria_request_seconds_count", "verb", "task.submit", "query.status", "other")
	for _, verb := range []string{"task.submit", "query.status"} {
		for _, code := range []string{"200", "400", "409", "429", "503"} {
			want = append(want, fmt.Sprintf(`aria_requests_total{code=%q,verb=%q} 0`, code, verb))
		}
	}
	for _, name := range []string{
		"aria_assign_ack_seconds_count", "aria_downloaded_bytes_total", "aria_workers_lost_total", "aria_turn_seconds_count",
		"aria_turn_operations_count", "aria_turn_busy_seconds_total", "aria_inbox_full_total", "aria_events_dropped_total",
	} {
		want = append(want, name+" 0")
	}
	wantLines(t, text, want...)
}

// Gauges have the values of their sources.
func TestGauges_ShowValuesOfSources(t *testing.T) {
	wantLines(t, scrape(t, testMetrics()),
		`aria_build_info{commit="abc",goversion="go1.26",schema="4",version="1.2.3"} 1`,
		"aria_leader 1", "aria_leader_conflict 1", "aria_require_sync_unmet 1", "aria_term 0", "aria_commits_lost_total 3",
		`aria_tasks{status="pending"} 7`, `aria_tasks{status="completed"} 5e+06`, `aria_tasks{status="paused"} 0`,
		`aria_tasks_waiting{reason="no_slot"} 4`, `aria_tasks_waiting{reason="host_cooldown"} 3`, `aria_tasks_waiting{reason="held"} 0`,
		`aria_oldest_waiting_seconds{priority="high"} 61`, `aria_oldest_waiting_seconds{priority="low"} 0`,
		"aria_download_speed_bytes 12345", `aria_workers{status="online"} 2`, `aria_workers{status="offline"} 0`,
		"aria_slots 20", "aria_slots_used 11", "aria_heartbeat_age_max_seconds 13", "aria_inbox_depth 17", "aria_store_bytes 4096",
		"aria_intake_pending 8", "aria_intake_parked 9", "aria_dlq_messages 10", "aria_nats_connected 1", "aria_nats_reconnects_total 6",
	)
}

// Each fact and each call of an interface is counted under its labels.
func TestMetrics_CountFactsAndCalls(t *testing.T) {
	m := testMetrics()
	m.Facts([]engine.Fact{
		{Kind: engine.FactSubmitted, Via: engine.ViaIntake, Client: "shop"},
		{Kind: engine.FactFirstAssigned, Priority: model.PriorityUrgent, Took: model.Seconds(2)},
		{Kind: engine.FactAcknowledged, Took: model.Seconds(0.2)},
		{Kind: engine.FactAttemptEnded, Outcome: model.OutcomeTimeout, Worker: "w1", Took: model.Seconds(30)},
		{Kind: engine.FactFinished, Status: model.StatusFailed, Client: "shop", Took: model.Seconds(40)},
		{Kind: engine.FactDownloaded, Worker: "w1", Bytes: 1000},
		{Kind: engine.FactWorkerLost, Worker: "w1"},
		{Kind: engine.FactHeartbeat, Result: engine.HeartbeatConflict},
	})
	m.Rejected(model.CodeTooMany)
	m.Rejected(418)
	m.Turn(3*time.Millisecond, 5)
	m.Busy(2 * time.Second)
	m.InboxFull()
	m.EventDropped()
	m.Commit(time.Millisecond, nil)
	m.Commit(time.Millisecond, model.Errorf(model.CodeUnavailable, "the disk is full"))
	m.Commit(time.Millisecond, fmt.Errorf("commit: %w", model.Errorf(model.CodeInternal, "the row says otherwise")))
	m.Commit(time.Millisecond, fmt.Errorf("the file is damaged"))
	m.Request("task.submit", 200, time.Millisecond, "")
	m.Request("task.submit", model.CodeTooMany, time.Millisecond, "")
	m.Request("task.unknown", 418, time.Millisecond, "")
	wantLines(t, scrape(t, m),
		`aria_tasks_submitted_total{via="intake"} 1`, `aria_tasks_submitted_total{via="request"} 0`,
		`aria_task_wait_seconds_sum{priority="urgent"} 2`, `aria_assign_ack_seconds_bucket{le="0.25"} 1`, `aria_assign_ack_seconds_bucket{le="0.1"} 0`,
		`aria_attempts_total{outcome="timeout"} 1`, `aria_attempt_seconds_sum{outcome="timeout"} 30`,
		`aria_tasks_finished_total{status="failed"} 1`, `aria_task_duration_seconds_sum{status="failed"} 40`,
		"aria_downloaded_bytes_total 1000", "aria_workers_lost_total 1", `aria_heartbeats_total{result="conflict"} 1`,
		`aria_tasks_rejected_total{code="429"} 1`, `aria_tasks_rejected_total{code="other"} 1`,
		"aria_turn_seconds_count 1", "aria_turn_operations_sum 5", "aria_turn_busy_seconds_total 2", "aria_inbox_full_total 1",
		"aria_events_dropped_total 1", `aria_commit_seconds_count{store="sqlite"} 4`,
		`aria_commit_errors_total{kind="unavailable"} 1`, `aria_commit_errors_total{kind="refused"} 1`, `aria_commit_errors_total{kind="other"} 1`,
		`aria_requests_total{code="200",verb="task.submit"} 1`, `aria_requests_total{code="429",verb="task.submit"} 1`,
		`aria_requests_total{code="other",verb="other"} 1`, `aria_request_seconds_count{verb="task.submit"} 2`,
	)
}

// With the labels client and worker the first 100 names are values, and the rest is
// summed up.
func TestLabels_NamesPastBoundAreOther(t *testing.T) {
	m := testMetrics(LabelClient, LabelWorker)
	for i := range 150 {
		m.Facts([]engine.Fact{
			{Kind: engine.FactSubmitted, Client: fmt.Sprintf("c%03d", i)},
			{Kind: engine.FactDownloaded, Worker: fmt.Sprintf("w%03d", i), Bytes: 10},
		})
	}
	text := scrape(t, m)
	wantLines(t, text,
		`aria_tasks_submitted_total{client="c000",via="request"} 1`, `aria_tasks_submitted_total{client="c099",via="request"} 1`,
		`aria_tasks_submitted_total{client="other",via="request"} 50`, `aria_tasks_submitted_total{client="other",via="http"} 0`,
		`aria_downloaded_bytes_total{worker="w099"} 10`, `aria_downloaded_bytes_total{worker="other"} 500`,
		`aria_attempts_total{outcome="lost",worker="other"} 0`,
	)
	if strings.Contains(text, "c100") || strings.Contains(text, "w100") {
		t.Error("a name past the bound is a value")
	}
}

// Servers that ask for OpenMetrics or protobuf get it, so that native histograms and
// exemplars arrive.
func TestHandler_NegotiatesFormat(t *testing.T) {
	h := testMetrics().Handler(slog.New(slog.DiscardHandler))
	for accept, want := range map[string]string{
		"": "text/plain",
		"application/openmetrics-text;version=1.0.0":                                                       "application/openmetrics-text",
		"application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.7": "application/vnd.google.protobuf",
	} {
		r := httptest.NewRequest(http.MethodGet, "/metrics", nil)
		r.Header.Set("Accept", accept)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if got := w.Header().Get("Content-Type"); w.Code != http.StatusOK || !strings.HasPrefix(got, want) || w.Body.Len() == 0 {
			t.Errorf("Accept %q: %d, %s, %d bytes", accept, w.Code, got, w.Body.Len())
		}
	}
}

// A task's whole life may allocate little: the turn that counts it waits.
func TestMetrics_FactsOfOneTaskAllocateLittle(t *testing.T) {
	m := testMetrics()
	facts := []engine.Fact{
		{Kind: engine.FactSubmitted, Client: "shop"}, {Kind: engine.FactFirstAssigned, Priority: model.PriorityNormal, Took: model.Seconds(2)},
		{Kind: engine.FactAcknowledged, Took: model.Seconds(0.2)}, {Kind: engine.FactAttemptEnded, Outcome: model.OutcomeCompleted, Took: model.Seconds(30)},
		{Kind: engine.FactDownloaded, Bytes: 1000}, {Kind: engine.FactFinished, Status: model.StatusCompleted, Took: model.Seconds(40)},
	}
	if n := testing.AllocsPerRun(1000, func() { m.Facts(facts) }); n > 4 {
		t.Errorf("%v allocations", n)
	}
}

// BenchmarkFacts is the cost of counting one task.
func BenchmarkFacts(b *testing.B) {
	m := testMetrics()
	facts := []engine.Fact{
		{Kind: engine.FactSubmitted, Client: "shop"}, {Kind: engine.FactFirstAssigned, Priority: model.PriorityNormal, Took: model.Seconds(2)},
		{Kind: engine.FactAcknowledged, Took: model.Seconds(0.2)}, {Kind: engine.FactAttemptEnded, Outcome: model.OutcomeCompleted, Took: model.Seconds(30)},
		{Kind: engine.FactDownloaded, Bytes: 1000}, {Kind: engine.FactFinished, Status: model.StatusCompleted, Took: model.Seconds(40)},
	}
	b.ReportAllocs()
	for b.Loop() {
		m.Facts(facts)
	}
}

// BenchmarkScrape is one scrape with as many verbs as a dispatcher has and both labels at
// their bounds. It is independent of tasks and workers: their figures are taken by the
// loop (BenchmarkFigures of the engine).
func BenchmarkScrape(b *testing.B) {
	verbs := make([]string, 40)
	for i := range verbs {
		verbs[i] = fmt.Sprintf("verb.%d", i)
	}
	m := New(Options{Store: "sqlite", Verbs: verbs, Labels: []string{LabelClient, LabelWorker}, Sources: sample()})
	for i := range 200 {
		m.Facts([]engine.Fact{
			{Kind: engine.FactSubmitted, Client: fmt.Sprint("c", i)}, {Kind: engine.FactFinished, Status: model.StatusCompleted, Client: fmt.Sprint("c", i)},
			{Kind: engine.FactAttemptEnded, Outcome: model.OutcomeCompleted, Worker: fmt.Sprint("w", i)}, {Kind: engine.FactDownloaded, Worker: fmt.Sprint("w", i), Bytes: 1},
		})
	}
	h := m.Handler(slog.New(slog.DiscardHandler))
	r := httptest.NewRequest(http.MethodGet, "/metrics", nil)
	r.Header.Set("Accept-Encoding", "gzip")
	b.ReportAllocs()
	for b.Loop() {
		w := &httptest.ResponseRecorder{Body: &bytes.Buffer{}}
		h.ServeHTTP(w, r)
		if w.Body.Len() == 0 {
			b.Fatal("nothing was answered")
		}
	}
}
