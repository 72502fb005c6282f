package main

import (
	"strings"
	"testing"

	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/internal/worker/download/downloadtest"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// A worker with the default networks refuses loopback, and the error names the
// reason.
func TestWorker_RefusesLoopbackByDefault(t *testing.T) {
	testbed.RequireBinary(t, "aria2c")
	for _, engine := range []string{"aria2", "direct"} {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			s := downloadtest.Serve(t, downloadtest.Content(nil))
			c := startCluster(t)
			c.submit(&model.TaskSpec{ID: "inner", URL: s.URL + "/file"})
			c.startWorker("-engine", engine, "-allow-networks", "10.0.0.0/8")
			var task *model.Task
			testbed.Eventually(t, "the task has failed", func() bool {
				task = c.task("inner")
				return task.Status == model.StatusFailed
			})
			if task.Failures != 1 || task.Error == nil || task.Error.Class != model.ClassPermanent ||
				!strings.Contains(task.Error.Message, "127.0.0.1 is refused") || !strings.Contains(task.Error.Message, "the worker's allow_networks") {
				t.Errorf("%d failures, %+v", task.Failures, task.Error)
			}
			if n := s.Requests.Load(); n != 0 {
				t.Errorf("the server had %d requests", n)
			}
		})
	}
}
