package worker

import (
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// A stopping worker gives its tasks back and keeps their bytes.
func TestShutdown_GivesTasksBackAndKeepsBytes(t *testing.T) {
	bubble(t, func(t *testing.T) {
		dir := t.TempDir()
		n := start(t, dir, nil)
		n.give(assignment("a", 1), assignment("b", 1))
		write(t, n.engine.dir("a"), "f.part", "half")
		n.link.with(func() {
			n.link.report = func([]model.Report) ([]*model.Error, []model.Drop, error) { return nil, nil, errors.New("lost") }
		})
		n.engine.finish("b", map[string]string{"f": "1"})
		n.pass(time.Second)
		n.link.answerOnce(model.HeartbeatAnswer{Forget: []model.TaskRef{{ID: "b", Attempt: 1}}})
		n.stop()
		h := n.link.lastBeat()
		same(t, "state", h.State, model.StateLeaving)
		same(t, "it lists", fmt.Sprint(len(h.Tasks), h.Tasks[0].ID, h.Tasks[0].Status), "1bcompleted")
		same(t, "closed", n.engine.closed, true)
		same(t, "the journal has", n.journaled(), nil)
		same(t, "the bytes", read(t, filepath.Join(dir, partDir("a"), "f.part")), "half")

		n = start(t, dir, nil)
		same(t, "the next start lists", n.link.lastBeat().Tasks, []model.Report{})
		n.give(assignment("a", 2))
		same(t, "and comes back to the bytes", read(t, filepath.Join(n.engine.dir("a"), "f.part")), "half")
	})
}

// A stopping worker places complete files.
func TestShutdown_PlacesCompleteFiles(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := start(t, t.TempDir(), nil)
		n.give(assignment("a", 1))
		n.engine.with(func() { n.engine.lets = errors.New("aria2c is busy") })
		n.engine.finish("a", map[string]string{"f": "1"})
		n.pass(10 * time.Second)
		same(t, "nothing is moved while the engine has it", files(t, n.dir), map[string]string{})
		n.stop()
		same(t, "the folder", files(t, n.dir), map[string]string{"a/f": "1"})
		same(t, "the last heartbeat lists", n.link.lastBeat().Tasks[0].Status, model.ReportCompleted)
	})
}

// Stopping without a dispatcher takes a bounded time and gives nothing back.
func TestShutdown_WithoutDispatcherKeepsTasks(t *testing.T) {
	bubble(t, func(t *testing.T) {
		dir := t.TempDir()
		n := start(t, dir, nil)
		n.give(assignment("a", 7))
		n.link.with(func() {
			n.link.beat = func(*model.Heartbeat) (*model.HeartbeatAnswer, error) { return nil, errors.New("no responders") }
		})
		began := time.Now()
		n.stop()
		if took := time.Since(began); took > DefaultStopTimeout+time.Second {
			t.Errorf("stopping took %v", took)
		}
		same(t, "the journal has", n.journaled(), []string{"a"})
		n = start(t, dir, nil)
		same(t, "the next start lists", n.link.lastBeat().Tasks[0].Ref(), model.TaskRef{ID: "a", Attempt: 7})
		n.pass(time.Second)
		same(t, "and continues", n.engine.has(), []string{"a"})
	})
}
