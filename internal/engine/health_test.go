package engine

import (
	"strings"
	"testing"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// Which failures may be those of the worker, and are counted by nobody else.
func TestHealth_FailuresThatMayBeTheWorkers(t *testing.T) {
	for _, c := range []struct {
		failure string
		err     model.TaskError
		may     bool
	}{
		{"no such file", model.TaskError{Code: 3, Class: model.ClassPermanent}, false},
		{"an untrusted certificate", model.TaskError{Code: 1, Class: model.ClassPermanent}, false},
		{"a wrong checksum", model.TaskError{Code: 32, Class: model.ClassPermanent}, false},
		{"403: the server answers", model.TaskError{Code: 22, Class: model.ClassWorker, HTTPStatus: 403}, false},
		{"503: the server answers", model.TaskError{Code: 29, Class: model.ClassRetryable, HTTPStatus: 503}, false},
		{"a full disk, which health counts by itself", model.TaskError{Code: 9, Class: model.ClassWorker}, false},
		{"a file that cannot be created, which the worker counts", model.TaskError{Code: 16, Class: model.ClassWorker}, false},
		{"a host name without an address", model.TaskError{Code: 19, Class: model.ClassRetryable}, true},
		{"a timeout", model.TaskError{Code: 2, Class: model.ClassRetryable}, true},
		{"an engine that does not start", model.TaskError{Code: 1, Class: model.ClassWorker}, true},
	} {
		if have := canBeWorkers(&c.err); have != c.may {
			t.Errorf("%s: %v", c.failure, have)
		}
	}
}

// A task that fails at one worker and is completed by another is a fault of the first: once for a
// host, so that a host that is down for a while blames nobody for each of its tasks. A client's
// wrong URLs, however many, are no fault of anybody.
func TestHealth_FaultsByEvidence(t *testing.T) {
	type outcome struct {
		host   string
		failed bool // at w1 first
		ends   model.ReportStatus
	}
	for _, c := range []struct {
		name     string
		outcomes []outcome
		faults   int64
	}{
		{"wrong URLs of several hosts", []outcome{{"a", true, model.ReportFailed}, {"b", true, model.ReportFailed}, {"c", true, model.ReportFailed}}, 0},
		{"completed by another", []outcome{{"a", true, model.ReportCompleted}}, 1},
		{"several tasks of one host", []outcome{{"a", true, model.ReportCompleted}, {"a", true, model.ReportCompleted}, {"a", true, model.ReportCompleted}}, 1},
		{"tasks of several hosts", []outcome{{"a", true, model.ReportCompleted}, {"b", true, model.ReportCompleted}, {"c", true, model.ReportCompleted}}, 3},
		{"never at w1", []outcome{{"a", false, model.ReportCompleted}}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, testConfig())
			for i, o := range c.outcomes {
				id := string(rune('a' + i))
				w.act([]string{"heartbeat", "w1", "slots=1"})
				w.act([]string{"heartbeat", "w2", "slots=0"})
				first := "w1"
				if !o.failed {
					first = "w2"
					w.act([]string{"heartbeat", "w1", "slots=0"})
					w.act([]string{"heartbeat", "w2", "slots=1"})
				}
				w.act([]string{"submit", "shop", id, "url=https://" + o.host + ".example/" + id, "max_attempts=2"})
				attempt := "#1:"
				if o.failed {
					w.act([]string{"heartbeat", "w2", "slots=1"})
					w.act([]string{"report", first, id + "#1:failed:worker"})
					attempt = "#2:"
				}
				last := string(o.ends)
				if o.ends == model.ReportFailed {
					last += ":retryable"
				}
				w.act([]string{"report", "w2", id + attempt + last})
				if row := w.tasks[id]; !row.Status.Terminal() || row.LastWorkerID != "w2" {
					t.Fatalf("%s is %s after %s", id, row.Status, row.LastWorkerID)
				}
			}
			if have := w.engine.workers["w1"].faults.count; have != c.faults {
				t.Errorf("w1 has %d faults, want %d", have, c.faults)
			}
			if have := w.engine.workers["w2"].faults.count; have != 0 {
				t.Errorf("w2 has %d faults", have)
			}
		})
	}
}

// A worker on trial says why, and its restart ends the trial.
func TestTrial_IsSaidAndEndsWithARestart(t *testing.T) {
	w := newWorld(t, testConfig())
	w.act([]string{"heartbeat", "w1", "slots=4"})
	k := w.engine.workers["w1"]
	for range maxFaultsInRow {
		if reason := k.statusReason(); reason != "" || k.slots() != 4 {
			t.Errorf("before: %q, %d slots", reason, k.slots())
		}
		k.blame(suspicion{worker: "w1", proven: k.faults.proven}, 1)
	}
	if reason := k.statusReason(); !strings.Contains(reason, "one task for each heartbeat interval") || k.slots() != 1 {
		t.Errorf("on trial: %q, %d slots", reason, k.slots())
	}
	w.act([]string{"heartbeat", "w1", "slots=4", "epoch=2"})
	if reason := k.statusReason(); reason != "" || k.slots() != 4 {
		t.Errorf("after its restart: %q, %d slots", reason, k.slots())
	}
}
