package metrics

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/aria-cluster/dispatcher/internal/engine"
	"github.com/aria-cluster/dispatcher/internal/metrics/expose"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// Values of labels, by the constants of the engine.
var (
	vias     = []string{engine.ViaRequest: "request", engine.ViaIntake: "intake", engine.ViaHTTP: "http", engine.ViaRPC: "rpc"}
	outcomes = []string{
		string(model.OutcomeCompleted), string(model.OutcomeRetryable), string(model.OutcomePermanent), string(model.OutcomeWorker),
		string(model.OutcomeRejected), string(model.OutcomeLost), string(model.OutcomeTimeout),
	}
	heartbeats = []string{engine.HeartbeatApplied: "applied", engine.HeartbeatStale: "stale", engine.HeartbeatConflict: "conflict", engine.HeartbeatRefused: "refused"}
	terminal   = []string{string(model.StatusCompleted), string(model.StatusFailed), string(model.StatusCanceled)}
	priorities = []string{
		model.PriorityLow.String(), model.PriorityNormal.String(), model.PriorityHigh.String(), model.PriorityUrgent.String(),
	}
	codes = []model.Code{
		model.CodeInvalid, model.CodeForbidden, model.CodeNotFound, model.CodeConflict, model.CodeTooLarge, model.CodeTooMany,
		model.CodeInternal, model.CodeUnavailable,
	}
)

// otherCode is the label of a code that is not among codes.
const otherCode = "other"

// ackBuckets is for the time until a worker confirms an assignment: at once by its
// report, at the latest by a heartbeat.
var ackBuckets = []float64{1e-3, 5e-3, 10e-3, 25e-3, 50e-3, 100e-3, 250e-3, 500e-3, 1, 2.5, 5, 10, 30, 60, 300}

// tasks counts tasks, attempts and workers.
type tasks struct {
	submitted, finished, attempts, downloaded *named
	rejected                                  map[model.Code]prometheus.Counter
	rejectedOther                             prometheus.Counter
	wait, duration, attempt                   map[string]prometheus.Observer
	assignAck                                 prometheus.Histogram
	workersLost                               prometheus.Counter
	heartbeats                                map[string]prometheus.Counter
}

func (t *tasks) init(r *prometheus.Registry, labels []string) {
	client, worker := has(labels, LabelClient), has(labels, LabelWorker)
	t.submitted = newNamed(r, "aria_tasks_submitted_total", "Tasks that were made, by the way on which they came in.", "via", vias, LabelClient, client)
	t.finished = newNamed(r, "aria_tasks_finished_total", "Tasks that became terminal.", "status", terminal, LabelClient, client)
	t.attempts = newNamed(r, "aria_attempts_total", "Attempts that ended, except those that a client ended. An attempt that a lost worker takes back is counted again at its end.",
		"outcome", outcomes, LabelWorker, worker)
	t.downloaded = newNamed(r, "aria_downloaded_bytes_total", "Bytes that workers reported, each file at most once an attempt.", "", nil, LabelWorker, worker)

	rejected := counters(r, "aria_tasks_rejected_total", "Submitted tasks that were answered with an error.", "code")
	t.rejected = make(map[model.Code]prometheus.Counter, len(codes))
	for _, c := range codes {
		t.rejected[c] = rejected.WithLabelValues(strconv.Itoa(int(c)))
	}
	t.rejectedOther = rejected.WithLabelValues(otherCode)

	t.wait = histograms(r, expose.Histogram("aria_task_wait_seconds",
		"Time from the submit of a task, or its not_before, to its first assignment.", expose.SlowBuckets), "priority", priorities)
	t.duration = histograms(r, expose.Histogram("aria_task_duration_seconds",
		"Time from the submit of a task to its terminal status.", expose.SlowBuckets), "status", terminal)
	t.attempt = histograms(r, expose.Histogram("aria_attempt_seconds",
		"Time from the assignment of an attempt to its end.", expose.SlowBuckets), "outcome", outcomes)
	t.assignAck = histogram(r, expose.Histogram("aria_assign_ack_seconds",
		"Time from an assignment to the first report or heartbeat that lists it.", ackBuckets))
	t.workersLost = counter(r, "aria_workers_lost_total", "Workers that sent no heartbeat for the heartbeat timeout.")
	results := counters(r, "aria_heartbeats_total", "Heartbeats that were decided on.", "result")
	t.heartbeats = make(map[string]prometheus.Counter)
	for _, result := range heartbeats {
		t.heartbeats[result] = results.WithLabelValues(result)
	}
}

// Rejected implements dispatch.Metrics.
func (m *Metrics) Rejected(code model.Code) {
	if c := m.tasks.rejected[code]; c != nil {
		c.Inc()
		return
	}
	m.tasks.rejectedOther.Inc()
}

// Facts implements dispatch.Metrics.
func (m *Metrics) Facts(facts []engine.Fact) {
	for i := range facts {
		m.tasks.count(&facts[i])
	}
}

func (t *tasks) count(f *engine.Fact) {
	seconds := f.Took.Std().Seconds()
	switch f.Kind {
	case engine.FactSubmitted:
		t.submitted.of(vias[f.Via], f.Client).Inc()
	case engine.FactFirstAssigned:
		observe(t.wait[f.Priority.String()], seconds, f.Trace)
	case engine.FactAcknowledged:
		observe(t.assignAck, seconds, f.Trace)
	case engine.FactAttemptEnded:
		outcome := string(f.Outcome)
		t.attempts.of(outcome, f.Worker).Inc()
		observe(t.attempt[outcome], seconds, f.Trace)
	case engine.FactFinished:
		t.finished.of(string(f.Status), f.Client).Inc()
		observe(t.duration[string(f.Status)], seconds, f.Trace)
	case engine.FactDownloaded:
		t.downloaded.of("", f.Worker).Add(float64(f.Bytes))
	case engine.FactWorkerLost:
		t.workersLost.Inc()
	case engine.FactHeartbeat:
		t.heartbeats[heartbeats[f.Result]].Inc()
	}
}
