package bus

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/internal/wire"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

func link(t testing.TB, conn *Connection) *WorkerLink {
	t.Helper()
	l, err := NewWorkerLink(conn, DefaultPrefix, "w1", nil)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// TestWorkerLink_WithoutDispatcherOutcomeIsUnknown checks that a heartbeat without a
// dispatcher is an error, and no answer.
func TestWorkerLink_WithoutDispatcherOutcomeIsUnknown(t *testing.T) {
	s := startServer(t)
	_, err := link(t, openTo(t, s)).Heartbeat(testbed.Context(t), &model.Heartbeat{})
	var no *model.Error
	if !errors.Is(err, nats.ErrNoResponders) || errors.As(err, &no) {
		t.Errorf("got %v, want an error that is no answer", err)
	}
}

// TestEncodeHeartbeat_LongOneIsPartial checks that a heartbeat above the limit is
// shortened and marked as partial.
func TestEncodeHeartbeat_LongOneIsPartial(t *testing.T) {
	var tasks []model.Report
	for i := range 1200 {
		tasks = append(tasks, model.Report{ID: fmt.Sprint("t", i), Attempt: 1, Status: model.ReportDownloading})
	}
	tasks[3].Error = &model.TaskError{Message: strings.Repeat("x", 200_000), Class: model.ClassRetryable}
	for limit, want := range map[int]int{maxBody: 1000, 60_000: 300} {
		h := &model.Heartbeat{WorkerID: "w1", Instance: "i1", State: model.StateReady, Tasks: tasks}
		b, err := encodeHeartbeat(h, limit)
		if err != nil || len(b) > limit {
			t.Fatalf("%d bytes for %d, %v", len(b), limit, err)
		}
		got, faults, no := wire.DecodeHeartbeat(b, "w1")
		if no != nil || len(faults) > 0 {
			t.Fatal(no, faults)
		}
		if !got.Partial || len(got.Tasks) < want || len(got.Tasks) > model.MaxBatch {
			t.Errorf("in %d bytes %d tasks, partial %v", limit, len(got.Tasks), got.Partial)
		}
		if !h.Partial || len(h.Tasks) != len(got.Tasks) || h.Tasks[len(h.Tasks)-1].ID != got.Tasks[len(got.Tasks)-1].ID {
			t.Errorf("in %d bytes the caller is told of %d tasks, %d were sent", limit, len(h.Tasks), len(got.Tasks))
		}
	}
	if len(tasks) != 1200 || tasks[3].Error == nil {
		t.Error("the caller's reports were changed")
	}
	short := &model.Heartbeat{WorkerID: "w1", Instance: "i1", State: model.StateReady, Tasks: tasks[:2]}
	if b, err := encodeHeartbeat(short, maxBody); err != nil || strings.Contains(string(b), "partial") {
		t.Errorf("a short one: %s, %v", b, err)
	}
}
