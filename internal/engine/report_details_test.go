package engine

import (
	"slices"
	"strings"
	"testing"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// TestReport_RejectionKeepsTheWorkersError: the code, host and status of the worker's error are
// those of the task's.
func TestReport_RejectionKeepsTheWorkersError(t *testing.T) {
	for name, c := range map[string]struct {
		sent *model.TaskError
		want model.TaskError
	}{
		"with an error": {
			&model.TaskError{Code: 11, Class: model.ClassWorker, Message: "it is here already", Host: "h", HTTPStatus: 403},
			model.TaskError{Code: 11, Class: model.ClassWorker, Message: "rejected by w1: it is here already", Host: "h", HTTPStatus: 403},
		},
		"without one": {nil, model.TaskError{Code: 1, Class: model.ClassWorker, Message: "rejected by w1"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, testConfig())
			w.act(strings.Fields("heartbeat w1"))
			w.act(strings.Fields("submit shop t1"))
			w.turn(Report{Worker: "w1", Report: model.Report{ID: "t1", Attempt: 1, Status: model.ReportRejected, Error: c.sent}})
			if got := w.tasks["t1"].Error; got == nil || *got != c.want {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
}

// TestReport_CompletionWithoutFilesHasAList: in JSON the files are always a list.
func TestReport_CompletionWithoutFilesHasAList(t *testing.T) {
	for _, result := range []*model.Result{nil, {TotalLength: 7}} {
		w := newWorld(t, testConfig())
		w.act(strings.Fields("heartbeat w1"))
		w.act(strings.Fields("submit shop t1"))
		w.turn(Report{Worker: "w1", Report: model.Report{ID: "t1", Attempt: 1, Status: model.ReportCompleted, Result: result}})
		if got := w.tasks["t1"].Result; got == nil || got.Files == nil {
			t.Errorf("of %+v the task has %+v", result, got)
		}
	}
}

// TestHold_BytesOfAnUnknownLengthStay: the worker that has a part of a file, whose length no
// server has named, continues with its bytes.
func TestHold_BytesOfAnUnknownLengthStay(t *testing.T) {
	w := newWorld(t, testConfig())
	w.act(strings.Fields("heartbeat w1"))
	w.act(strings.Fields("submit shop t1"))
	w.turn(Report{Worker: "w1", Report: model.Report{ID: "t1", Attempt: 1, Status: model.ReportDownloading, CompletedLength: 20}})
	w.act(strings.Fields("report w1 t1#1:failed:retryable"))
	w.tasks["t1"].CompletedLength, w.tasks["t1"].TotalLength = 20, 0
	w.restart()
	w.act(strings.Fields("heartbeat w1"))
	w.pass(model.Seconds(20))
	run := w.engine.tasks["t1"].run
	if run == nil || run.progress.completed != 20 || run.progress.percent != 0 {
		t.Errorf("the attempt begins with %+v, want 20 bytes", run)
	}
}

// TestTick_LostWorkerIsOfflineBeforeItIsRemoved: also where records of lost workers are kept for
// less than the time after which one is lost.
func TestTick_LostWorkerIsOfflineBeforeItIsRemoved(t *testing.T) {
	cfg := testConfig()
	cfg.OfflineThreshold = cfg.HeartbeatTimeout / 2
	w := newWorld(t, cfg)
	w.act(strings.Fields("heartbeat w1"))
	var said []model.WorkerStatus
	for _, plan := range w.pass(cfg.HeartbeatTimeout + model.Seconds(3)) {
		for _, ev := range plan.Workers {
			said = append(said, ev.Status)
		}
	}
	if want := []model.WorkerStatus{"offline", "removed"}; !slices.Equal(said, want) {
		t.Errorf("the worker was said to be %q, want %q", said, want)
	}
}
