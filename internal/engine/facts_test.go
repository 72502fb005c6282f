package engine

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// text is a fact without the fields that its kind does not have.
func (f Fact) text() string {
	switch f.Kind {
	case FactSubmitted:
		return fmt.Sprintf("submitted by %s via %d", f.Client, f.Via)
	case FactFirstAssigned:
		return fmt.Sprintf("assigned, %s, after %v", f.Priority, f.Took)
	case FactAcknowledged:
		return fmt.Sprintf("acknowledged after %v", f.Took)
	case FactAttemptEnded:
		return fmt.Sprintf("attempt of %s ended by %s after %v", f.Worker, f.Outcome, f.Took)
	case FactFinished:
		return fmt.Sprintf("%s of %s after %v", f.Status, f.Client, f.Took)
	case FactDownloaded:
		return fmt.Sprintf("%s gained %d", f.Worker, f.Bytes)
	case FactWorkerLost:
		return "lost " + f.Worker
	case FactHeartbeat:
		return fmt.Sprintf("heartbeat %d", f.Result)
	}
	return fmt.Sprintf("unknown kind %d", f.Kind)
}

// Each history yields the facts that are counted, and no others.
func TestFacts_TellWhatHistoriesDid(t *testing.T) {
	const (
		completed, retryable    = string(model.OutcomeCompleted), string(model.OutcomeRetryable)
		permanent, worker       = string(model.OutcomePermanent), string(model.OutcomeWorker)
		rejected, lost, timeout = string(model.OutcomeRejected), string(model.OutcomeLost), string(model.OutcomeTimeout)
	)
	for name, c := range map[string]struct {
		acts, want []string
	}{
		"a task that completes": {
			[]string{"submit shop t1", "pass 2s", "heartbeat w1", "pass 1s", "report w1 t1#1:downloading:50", "pass 1s", "report w1 t1#1:completed"},
			[]string{
				"submitted by shop via 0", "heartbeat 0", "assigned, normal, after 2s", "acknowledged after 1s", "w1 gained 500",
				"w1 gained 500", "attempt of w1 ended by " + completed + " after 2s", "completed of shop after 4s",
			},
		},
		"a priority and a not_before": {
			[]string{"heartbeat w1", "submit shop t1 priority=high not_before=5", "pass 8s"},
			[]string{"heartbeat 0", "submitted by shop via 0", "assigned, high, after 0s"},
		},
		"the same submit twice": {
			[]string{"submit shop t1", "submit shop t1"},
			[]string{"submitted by shop via 0"},
		},
		"failures": {
			[]string{"heartbeat w1", "submit shop t1", "report w1 t1#1:failed:retryable", "submit shop t2", "report w1 t2#1:failed:permanent"},
			[]string{
				"heartbeat 0", "submitted by shop via 0", "assigned, normal, after 0s", "acknowledged after 0s",
				"attempt of w1 ended by " + retryable + " after 0s", "submitted by shop via 0", "assigned, normal, after 0s",
				"acknowledged after 0s", "attempt of w1 ended by " + permanent + " after 0s", "failed of shop after 0s",
			},
		},
		"a failure of the worker, and a rejection": {
			[]string{"heartbeat w1", "submit shop t1", "report w1 t1#1:failed:worker", "submit shop t2", "report w1 t2#1:rejected"},
			[]string{
				"heartbeat 0", "submitted by shop via 0", "assigned, normal, after 0s", "acknowledged after 0s",
				"attempt of w1 ended by " + worker + " after 0s", "submitted by shop via 0", "assigned, normal, after 0s",
				"acknowledged after 0s", "attempt of w1 ended by " + rejected + " after 0s",
			},
		},
		"a lost worker takes its task back": {
			[]string{"heartbeat w1", "submit shop t1", "pass 35s", "heartbeat w1 holds=t1#1:downloading:10"},
			[]string{
				"heartbeat 0", "submitted by shop via 0", "assigned, normal, after 0s", "lost w1",
				"attempt of w1 ended by " + lost + " after 30s", "heartbeat 0", "w1 gained 100",
			},
		},
		"an attempt that takes too long": {
			[]string{"heartbeat w1", "submit shop t1 timeout=3", "report w1 t1#1:downloading:10", "pass 4s"},
			[]string{
				"heartbeat 0", "submitted by shop via 0", "assigned, normal, after 0s", "acknowledged after 0s", "w1 gained 100",
				"attempt of w1 ended by " + timeout + " after 3s",
			},
		},
		"a cancel": {
			[]string{"heartbeat w1", "submit shop t1", "pass 1s", "cancel shop t1"},
			[]string{"heartbeat 0", "submitted by shop via 0", "assigned, normal, after 0s", "canceled of shop after 1s"},
		},
		"heartbeats that are late or of another worker": {
			[]string{"heartbeat w1 seq=5", "heartbeat w1 seq=4", "heartbeat w1 instance=other"},
			[]string{
				fmt.Sprintf("heartbeat %d", HeartbeatApplied), fmt.Sprintf("heartbeat %d", HeartbeatStale),
				fmt.Sprintf("heartbeat %d", HeartbeatConflict),
			},
		},
		"a worker that goes back and forth counts its bytes once": {
			[]string{
				"heartbeat w1", "submit shop t1", "report w1 t1#1:downloading:50", "report w1 t1#1:downloading:10",
				"report w1 t1#1:downloading:50", "report w1 t1#1:downloading:60",
			},
			[]string{
				"heartbeat 0", "submitted by shop via 0", "assigned, normal, after 0s", "acknowledged after 0s", "w1 gained 500", "w1 gained 100",
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, testConfig())
			for _, act := range c.acts {
				w.act(strings.Fields(act))
			}
			var got []string
			for _, f := range w.facts {
				got = append(got, f.text())
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("got\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(c.want, "\n\t"))
			}
		})
	}
}

// More bytes than the file has are not counted.
func TestFacts_BytesAreClampedToTheFile(t *testing.T) {
	w := newWorld(t, testConfig())
	w.act(strings.Fields("heartbeat w1"))
	w.act(strings.Fields("submit shop t1"))
	w.turn(Report{Worker: "w1", Report: model.Report{
		ID: "t1", Attempt: 1, Status: model.ReportDownloading, CompletedLength: 1 << 50, TotalLength: 1000,
	}})
	if last := w.facts[len(w.facts)-1]; last.Kind != FactDownloaded || last.Bytes != 1000 {
		t.Errorf("got %+v, want 1000 bytes", last)
	}
}

// A restart counts neither the bytes nor the acknowledgement of an attempt again.
func TestFacts_RestartCountsNothingAgain(t *testing.T) {
	w := newWorld(t, testConfig())
	for _, act := range []string{"heartbeat w1", "submit shop t1", "report w1 t1#1:downloading:50", "pass 5s"} {
		w.act(strings.Fields(act))
	}
	w.restart()
	w.facts = nil
	w.act(strings.Fields("heartbeat w1 holds=t1#1:downloading:60"))
	w.act(strings.Fields("report w1 t1#1:completed"))
	var got []string
	for _, f := range w.facts {
		got = append(got, f.text())
	}
	want := []string{"heartbeat 0", "w1 gained 100", "w1 gained 400", "attempt of w1 ended by completed after 5s", "completed of shop after 5s"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
