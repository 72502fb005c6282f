package worker

import (
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aria-cluster/dispatcher/internal/worker/download"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// bubble runs a test with a clock of its own.
func bubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, f)
}

// A task is fetched, its file placed and its end reported.
func TestWorker_TaskIsFetchedPlacedAndReported(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := start(t, t.TempDir(), nil)
		n.give(assignment("a", 1))
		same(t, "the engine has", n.engine.has(), []string{"a"})
		same(t, "the journal has", n.journaled(), []string{"a"})
		same(t, "reports", n.link.said("a"), []string{"1 downloading"})

		n.engine.set("a", download.State{GID: "0123", Completed: 5, Total: 20, Speed: 5})
		n.pass(time.Second)
		r := n.link.lastReport("a")
		same(t, "progress", []any{r.GID, r.Progress, r.CompletedLength, r.TotalLength, r.DownloadSpeed}, []any{"0123", 25.0, 5, 20, 5})

		n.engine.finish("a", map[string]string{"one": "1", "sub/two": "22"})
		n.pass(500 * time.Millisecond)
		same(t, "the folder", files(t, n.dir), map[string]string{"a/one": "1", "a/sub/two": "22"})
		r = n.link.lastReport("a")
		same(t, "status", r.Status, model.ReportCompleted)
		same(t, "result", *r.Result, model.Result{
			Files:       []model.File{{Path: "a/one", Length: 1}, {Path: "a/sub/two", Length: 2}},
			TotalLength: 3, WorkerID: "w1",
		})
		same(t, "the journal has", n.journaled(), nil)
		same(t, "the engine has", n.engine.has(), nil)
		same(t, "parts", n.parts(), nil)
		n.pass(5 * time.Second)
		h := n.link.lastBeat()
		same(t, "the heartbeat lists", h.Tasks, []model.Report{})
		same(t, "stats", []int64{h.PerformanceStats.CompletedTasks, h.HealthMetrics.SuccessCount}, []int64{1, 1})
	})
}

// Progress is reported once a second, and only if it changed.
func TestReport_ProgressOncePerSecond(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := start(t, t.TempDir(), nil)
		n.give(assignment("a", 1), assignment("b", 1))
		for i := range 40 {
			n.engine.set("a", download.State{Completed: int64(i), Total: 100})
			n.pass(100 * time.Millisecond)
		}
		if got := len(n.link.said("a")); got < 4 || got > 6 {
			t.Errorf("%d reports in 4 s", got)
		}
		same(t, "of the one that stands still", n.link.said("b"), []string{"1 downloading"})
	})
}

// Reports are repeated until they are answered.
func TestReport_IsRepeatedUntilAnswered(t *testing.T) {
	answers := []struct {
		name   string
		report func(r []model.Report) ([]*model.Error, []model.Drop, error)
	}{
		{"nothing came back", func([]model.Report) ([]*model.Error, []model.Drop, error) { return nil, nil, errors.New("timeout") }},
		{"another number of verdicts", func([]model.Report) ([]*model.Error, []model.Drop, error) { return nil, nil, nil }},
		{"not registered yet", func(r []model.Report) ([]*model.Error, []model.Drop, error) {
			return verdicts(r, model.Errorf(model.CodeConflict, "not registered")), nil, nil
		}},
		{"overloaded", func(r []model.Report) ([]*model.Error, []model.Drop, error) {
			return verdicts(r, model.Errorf(model.CodeUnavailable, "busy")), nil, nil
		}},
	}
	for _, test := range answers {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				n := start(t, t.TempDir(), nil)
				n.give(assignment("a", 1))
				n.link.with(func() { n.link.report = test.report })
				n.engine.set("a", download.State{Phase: download.Failed, Err: &model.TaskError{Code: 3, Message: "404", Class: model.ClassPermanent}})
				n.pass(20 * time.Second)
				if got := len(n.link.said("a")); got < 4 || got > 12 {
					t.Errorf("said %d times in 20 s", got)
				}
				same(t, "the journal has", n.journaled(), []string{"a"})
				same(t, "the heartbeat lists", n.link.lastBeat().Tasks[0].Status, model.ReportFailed)
				n.link.with(func() { n.link.report = nil })
				n.pass(time.Minute)
				same(t, "the journal has", n.journaled(), nil)
			})
		})
	}
}

func verdicts(r []model.Report, e *model.Error) []*model.Error {
	list := make([]*model.Error, len(r))
	for i := range list {
		list[i] = e
	}
	return list
}

// No more tasks than slots are taken.
func TestAssign_NoMoreTasksThanSlots(t *testing.T) {
	for _, slots := range []int{0, 3} {
		t.Run(fmt.Sprint(slots), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				n := start(t, t.TempDir(), func(c *Config, _ *node) { c.Slots = slots })
				for i := range 5 {
					n.give(assignment(fmt.Sprint("t", i), 1))
				}
				same(t, "the engine has", len(n.engine.has()), slots)
				rejected := n.link.lastReport("t4")
				same(t, "the last is", rejected.Status, model.ReportRejected)
				same(t, "because", rejected.Error.Message, fmt.Sprintf("all slots are in use (%d)", slots))
				same(t, "nothing of it is kept", len(n.journaled()), slots)
			})
		})
	}
}

// A thousand tasks are held, listed and finished.
func TestWorker_ThousandTasksAreFinished(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := start(t, t.TempDir(), func(c *Config, _ *node) { c.Slots = 1100 })
		var batch []model.Assignment
		for i := range 1100 {
			batch = append(batch, assignment(fmt.Sprintf("t%04d", i), 1))
		}
		n.give(batch...)
		before := len(n.link.sent())
		n.pass(6 * time.Second)
		named, partial := map[string]bool{}, 0
		for _, h := range n.link.sent()[before:] {
			if len(h.Tasks) > model.MaxBatch {
				t.Errorf("a heartbeat lists %d", len(h.Tasks))
			}
			if h.Partial {
				partial++
			}
			for i := range h.Tasks {
				named[h.Tasks[i].ID] = true
			}
		}
		same(t, "named in one interval", len(named), 1100)
		if partial < 2 {
			t.Errorf("%d heartbeats were partial", partial)
		}
		for i := 0; i < 1100; i += 10 {
			n.engine.finish(batch[i].Task.ID, map[string]string{"f": "1"})
		}
		n.pass(5 * time.Second)
		same(t, "finished files", len(files(t, n.dir)), 110)
		same(t, "the journal still has", len(n.journaled()), 990)
	})
}

// TestHeartbeat_CutListContinues checks that a worker names all its tasks in an
// interval also where its link sends only some of those that it is given, as after
// max_payload was lowered.
func TestHeartbeat_CutListContinues(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const tasks, fit = 100, 30
		named := make(map[string]bool)
		n := start(t, t.TempDir(), func(c *Config, n *node) {
			c.Slots = tasks
			n.link.beat = func(h *model.Heartbeat) (*model.HeartbeatAnswer, error) {
				if len(h.Tasks) > fit {
					h.Tasks, h.Partial = h.Tasks[:fit], true
				}
				for i := range h.Tasks {
					named[h.Tasks[i].ID] = true
				}
				return &model.HeartbeatAnswer{HeartbeatInterval: model.Seconds(5)}, nil
			}
		})
		var batch []model.Assignment
		for i := range tasks {
			batch = append(batch, assignment(fmt.Sprintf("t%04d", i), 1))
		}
		n.give(batch...)
		n.link.with(func() { clear(named) })
		n.pass(6 * time.Second)
		n.link.with(func() { same(t, "named in one interval", len(named), tasks) })
	})
}

// Downloads continue without the dispatcher.
func TestWorker_DownloadsContinueWithoutDispatcher(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := start(t, t.TempDir(), nil)
		n.give(assignment("a", 1), assignment("b", 1))
		n.link.with(func() {
			n.link.beat = func(*model.Heartbeat) (*model.HeartbeatAnswer, error) { return nil, errors.New("no responders") }
			n.link.report = func([]model.Report) ([]*model.Error, []model.Drop, error) {
				return nil, nil, errors.New("no responders")
			}
		})
		n.pass(time.Hour)
		n.engine.finish("a", map[string]string{"f": "1"})
		n.pass(time.Minute)
		same(t, "the folder", files(t, n.dir), map[string]string{"a/f": "1"})
		same(t, "the engine still has", n.engine.has(), []string{"b"})
		n.link.with(func() { n.link.beat, n.link.report = nil, nil })
		n.pass(time.Minute)
		same(t, "it is reported afterwards", n.link.lastReport("a").Status, model.ReportCompleted)
		same(t, "the journal has", n.journaled(), []string{"b"})
	})
}

// A worker whose name another instance has continues its tasks and takes no new ones.
func TestWorker_ConflictingNameTakesNothingNew(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := start(t, t.TempDir(), nil)
		n.give(assignment("a", 1))
		n.link.with(func() {
			n.link.beat = func(*model.Heartbeat) (*model.HeartbeatAnswer, error) {
				return nil, model.Errorf(model.CodeConflict, "the name is taken")
			}
		})
		n.pass(6 * time.Second)
		n.give(assignment("b", 1))
		same(t, "the engine has", n.engine.has(), []string{"a"})
		before := len(n.link.sent())
		n.pass(30 * time.Second)
		same(t, "heartbeats in 30 s", len(n.link.sent())-before, 6)
		n.link.with(func() { n.link.beat = nil })
		n.pass(6 * time.Second)
		n.give(assignment("b", 1))
		same(t, "the engine has", n.engine.has(), []string{"a", "b"})
	})
}

// The dispatcher sets the heartbeat interval within bounds.
func TestHeartbeat_IntervalIsBounded(t *testing.T) {
	for _, test := range []struct {
		said model.Duration
		want time.Duration
	}{
		{model.Seconds(2), 2 * time.Second},
		{model.Duration(time.Millisecond), 200 * time.Millisecond},
		{model.Seconds(1e6), 300 * time.Second},
		{0, 5 * time.Second},
		{model.Seconds(-3), 5 * time.Second},
	} {
		t.Run(test.said.String(), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				n := start(t, t.TempDir(), func(_ *Config, n *node) {
					n.link.beat = func(*model.Heartbeat) (*model.HeartbeatAnswer, error) {
						return &model.HeartbeatAnswer{HeartbeatInterval: test.said}, nil
					}
				})
				before := len(n.link.sent())
				n.pass(10 * test.want)
				same(t, "heartbeats in ten intervals", len(n.link.sent())-before, 10)
				seq := int64(0)
				for _, h := range n.link.sent() {
					if h.Seq <= seq {
						t.Fatalf("seq %d after %d", h.Seq, seq)
					}
					seq = h.Seq
				}
			})
		})
	}
}

// A job that the engine lost is added again, an unknown job in the engine is removed.
func TestReconcile_AddsLostAndRemovesUnknownJobs(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := start(t, t.TempDir(), nil)
		n.give(assignment("a", 1))
		n.engine.with(func() {
			clear(n.engine.jobs)
			clear(n.engine.states)
			n.engine.jobs["unknown"], n.engine.states["unknown"] = download.Job{}, download.State{}
		})
		n.pass(2 * time.Second)
		same(t, "the engine has", n.engine.has(), []string{"a"})
	})
}

// A task that a broken engine does not accept goes to another worker.
func TestReconcile_TaskOfABrokenEngineIsGivenBack(t *testing.T) {
	broken := errors.New("aria2c is being restarted")
	for _, test := range []struct {
		name  string
		fail  func(*engine)
		state model.WorkerState
		end   model.ReportStatus // a task is not blamed for an engine that answers for none
	}{
		{"it cannot be asked", func(e *engine) { e.pollErr = broken }, model.StateError, model.ReportRejected},
		{"it takes nothing", func(e *engine) { e.addErr = broken }, model.StateReady, model.ReportFailed},
	} {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				n := start(t, t.TempDir(), func(_ *Config, n *node) { test.fail(n.engine) })
				n.give(assignment("a", 1))
				n.pass(time.Minute)
				same(t, "the worker says", n.link.lastBeat().State, test.state)
				same(t, "reports of the task", n.link.said("a"), nil)
				n.pass(90 * time.Second)
				r := n.link.lastReport("a")
				same(t, "status", r.Status, test.end)
				same(t, "class", r.Error.Class, model.ClassWorker)
				n.engine.with(func() { n.engine.pollErr, n.engine.addErr = nil, nil })
				n.pass(20 * time.Second)
				same(t, "the worker says", n.link.lastBeat().State, model.StateReady)
				same(t, "the engine has", n.engine.has(), nil)
			})
		})
	}
}

// Many hints of the engine do not cause many calls.
func TestReconcile_HintsAreThrottled(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := start(t, t.TempDir(), nil)
		n.give(assignment("a", 1))
		polls := 0
		n.engine.with(func() { n.engine.onRemove = func(string) { polls++ } })
		n.engine.with(func() { n.engine.addErr = errors.New("no"); clear(n.engine.states) }) // a Remove and an Add each pass
		for range 1000 {
			select {
			case n.engine.changed <- struct{}{}:
			default:
			}
			n.pass(time.Millisecond)
		}
		if polls > 21 {
			t.Errorf("%d passes in a second", polls)
		}
	})
}

// Bytes of tasks that are no longer held are removed after KeepOrphans.
func TestSweep_RemovesOrphanedBytes(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := start(t, t.TempDir(), func(c *Config, _ *node) { c.KeepOrphans = time.Hour })
		n.give(assignment("a", 1), assignment("b", 1))
		n.take("a", 1, model.DropPaused)
		n.pass(50 * time.Minute)
		same(t, "parts", n.parts(), []string{"a", "b"})
		n.pass(30 * time.Minute)
		same(t, "parts", n.parts(), []string{"b"})
		same(t, "trash", list(t, filepath.Join(n.dir, trashDir)), nil)
	})
}
