package worker

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/aria-cluster/dispatcher/internal/worker/download"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// deaf is a dispatcher that answers no report.
func deaf([]model.Report) ([]*model.Error, []model.Drop, error) { return nil, nil, errors.New("lost") }

// A later attempt continues the download; only one with a changed task restarts it.
func TestAssign_OnlyAChangedTaskRestarts(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*model.Task)
		want   string
	}{
		{"the same", func(*model.Task) {}, "add a"},
		{"another URL", func(t *model.Task) { t.URL = "http://example.net/" }, "add a, remove a, add a"},
		{"other options", func(t *model.Task) { t.Options = model.Options{"split": {"2"}} }, "add a, remove a, add a"},
	} {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				n := start(t, t.TempDir(), func(c *Config, _ *node) { c.Slots = 1 })
				n.give(assignment("a", 1))
				again := assignment("a", 2)
				test.change(again.Task)
				n.give(again)
				n.pass(2 * time.Second)
				same(t, "calls of the engine", n.engine.log(), test.want)
				same(t, "reports", n.link.said("a"), []string{"1 downloading", "2 downloading"})
			})
		})
	}
}

// An assignment that arrives while the task stops waits for that.
func TestAssign_WaitsForADropInProgress(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := start(t, t.TempDir(), nil)
		n.give(assignment("a", 1))
		write(t, n.engine.dir("a"), "f.part", "half")
		n.link.drop([]model.Drop{{ID: "a", Attempt: 1, Reason: model.DropCanceled}})
		n.link.assign([]model.Assignment{assignment("a", 2)})
		n.pass(time.Second)
		same(t, "calls of the engine", n.engine.log(), "add a, remove a, add a")
		same(t, "then", n.account("a"), "2 downloading + empty")
	})
}

// A report that is refused with a drop ends the task.
func TestReport_RefusalWithDropEndsTheTask(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := start(t, t.TempDir(), nil)
		n.link.with(func() {
			n.link.report = func(r []model.Report) ([]*model.Error, []model.Drop, error) {
				return verdicts(r, model.Errorf(model.CodeConflict, "superseded")),
					[]model.Drop{{ID: "a", Attempt: 1, Reason: model.DropSuperseded}}, nil
			}
		})
		n.give(assignment("a", 1))
		n.pass(time.Second)
		same(t, "then", n.account("a"), "- empty")
	})
}

// The refusal of an assignment names the reason.
func TestAssign_RefusalNamesTheReason(t *testing.T) {
	tests := []struct {
		name   string
		change func(*model.Task)
		status model.ReportStatus
		class  model.Class
		says   string
	}{
		{"a path in out", option("out", "../x"), model.ReportFailed, model.ClassPermanent, "options.out"},
		{"an option that names a local file", option("load-cookies", "/etc/passwd"), model.ReportFailed, model.ClassPermanent, "load-cookies"},
		{"a line break in a header", option("header", "A: b\r\nHost: c"), model.ReportFailed, model.ClassPermanent, "options.header"},
		{"a local file", func(t *model.Task) { t.URL = "file:///etc/passwd" }, model.ReportFailed, model.ClassPermanent, "url"},
		{"no source", func(t *model.Task) { t.URL = "" }, model.ReportFailed, model.ClassPermanent, "url"},
		{"a folder that is not here", func(t *model.Task) { t.Folder = "films" }, model.ReportRejected, model.ClassWorker, "films"},
		{"a scheme that the engine does not speak", func(t *model.Task) { t.URL = "sftp://example.com/x" }, model.ReportRejected, model.ClassWorker, "sftp"},
		{"a magnet link", func(t *model.Task) { t.URL = "magnet:?xt=urn:btih:aa" }, model.ReportRejected, model.ClassWorker, "bt"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				n := start(t, t.TempDir(), nil)
				a := assignment("a", 1)
				test.change(a.Task)
				n.give(a)
				r := n.link.lastReport("a")
				same(t, "status", r.Status, test.status)
				same(t, "class", r.Error.Class, test.class)
				if !strings.Contains(r.Error.Message, test.says) {
					t.Errorf("%q does not name %q", r.Error.Message, test.says)
				}
				if err := r.Normalize(); err != nil {
					t.Errorf("the report is not legal: %v", err)
				}
				same(t, "the engine has", n.engine.has(), nil)
				same(t, "the journal has", n.journaled(), nil)
			})
		})
	}
}

func option(name, value string) func(*model.Task) {
	return func(t *model.Task) { t.Options = model.Options{name: {value}} }
}

// Invalid commands are ignored.
func TestCommands_InvalidOnesAreIgnored(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := start(t, t.TempDir(), nil)
		n.give(model.Assignment{}, model.Assignment{Task: &model.Task{}, Attempt: 1}, assignment("../a", 1), assignment("a", 0), assignment("b", -1))
		n.give()
		n.take("", 1, model.DropCanceled)
		n.take("../../x", 1, model.DropCanceled)
		n.take("a", -1, model.DropCanceled)
		n.link.answerOnce(model.HeartbeatAnswer{
			Forget: []model.TaskRef{{}}, Drop: []model.Drop{{}}, Assign: []model.Assignment{{}},
		})
		n.pass(6 * time.Second)
		same(t, "calls of the engine", n.engine.log(), "")
		same(t, "the heartbeat lists", n.link.lastBeat().Tasks, []model.Report{})
	})
}

// The backlog of commands is bounded.
func TestCommands_BacklogIsBounded(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := start(t, t.TempDir(), func(c *Config, _ *node) { c.Slots = 1 })
		n.link.with(func() { n.link.report = deaf })
		for i := range 30 {
			var list []model.Assignment
			for j := range 100 {
				list = append(list, assignment(fmt.Sprintf("t%d-%d", i, j), 1))
			}
			n.give(list...)
		}
		for i := range 12_000 {
			n.link.drop([]model.Drop{{ID: fmt.Sprint("x", i), Attempt: 1, Reason: model.DropPaused}})
			if i%50 == 0 {
				n.pass(time.Millisecond)
			}
		}
		n.pass(time.Second)
		n.stop()
		if got := len(n.tasks); got > 1+model.MaxBatch {
			t.Errorf("it answers for %d tasks", got)
		}
		if got := len(n.finished.latest); got > maxFinished || got < maxFinished/2 {
			t.Errorf("it remembers %d ended attempts", got)
		}
	})
}

// Secrets are never logged.
func TestLog_HasNoSecrets(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var logged bytes.Buffer
		n := start(t, t.TempDir(), func(c *Config, _ *node) {
			c.Logger = slog.New(slog.NewTextHandler(&logged, &slog.HandlerOptions{Level: slog.LevelDebug}))
		})
		a := assignment("a", 1)
		a.Task.URL = "http://user:hunter2@example.com/"
		a.Task.Options = model.Options{"header": {"Authorization: hunter2"}, "http-passwd": {"hunter2"}}
		n.give(a)
		bad := assignment("b", 1)
		bad.Task.URL = "http://user:hunter2@exa mple.com/"
		n.give(bad)
		n.engine.set("a", download.State{Phase: download.Failed})
		n.pass(time.Second)
		n.stop()
		if !strings.Contains(logged.String(), "task=a") {
			t.Fatalf("nothing was logged: %s", logged.String())
		}
		if strings.Contains(logged.String(), "hunter2") {
			t.Errorf("the log has a secret:\n%s", logged.String())
		}
		same(t, "the refused one failed", n.link.lastReport("b").Status, model.ReportFailed)
		if m := n.link.lastReport("b").Error.Message; strings.Contains(m, "hunter2") {
			t.Errorf("the report has a secret: %s", m)
		}
	})
}

// saying is the name of an answer with one thing in it.
func saying(a model.HeartbeatAnswer) string {
	switch {
	case len(a.Assign) > 0:
		return fmt.Sprint("assign ", a.Assign[0].Attempt)
	case len(a.Drop) > 0:
		return fmt.Sprint("drop ", a.Drop[0].Attempt, " ", a.Drop[0].Reason)
	case len(a.Forget) > 0:
		return fmt.Sprint("forget ", a.Forget[0].Attempt)
	}
	return "nothing"
}
