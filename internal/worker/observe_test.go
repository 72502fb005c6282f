package worker

import (
	"testing"
	"time"

	"github.com/aria-cluster/dispatcher/internal/worker/download"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// A report says which aria2 download a task was and what the engine that gave it up
// says, also where it is complete at the first poll; a failure keeps status and host.
func TestObserve_FirstPollIsTheLast(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := start(t, t.TempDir(), nil)
		before := &model.TaskError{Code: 22, Class: model.ClassRetryable, Message: "Unexpected status 203"}
		n.give(assignment("a", 1), assignment("b", 1))
		write(t, n.engine.dir("a"), "one", "1")
		n.give(assignment("c", 1))
		limited := &model.TaskError{Code: 22, Class: model.ClassRetryable, Message: "429", RetryAfter: 1 << 40}
		n.engine.set("c", download.State{Phase: download.Failed, Err: limited})
		n.engine.set("a", download.State{Phase: download.Complete, GID: "0123", Before: before, Files: []model.File{{Path: "one", Length: 1}}})
		why := model.TaskError{Code: 22, Class: model.ClassPermanent, Message: "403 Forbidden from h", HTTPStatus: 403, Host: "h"}
		n.engine.set("b", download.State{Phase: download.Failed, GID: "4567", Err: &why})
		n.pass(time.Second)
		r := n.link.lastReport("a")
		same(t, "completed", []any{r.Status, r.GID, *r.Error}, []any{model.ReportCompleted, "0123", *before})
		r = n.link.lastReport("b")
		limit := n.link.lastReport("c")
		same(t, "rate limited", []any{limit.RetryAfter, limit.Error.RetryAfter}, []any{model.MaxRetryAfter, 0})
		same(t, "failed", []any{r.Status, r.GID, *r.Error}, []any{model.ReportFailed, "4567", why})
	})
}
