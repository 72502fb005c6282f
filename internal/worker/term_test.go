package worker

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// What a leader that was deposed says is not obeyed: its drop, its assignment, its answer
// to a heartbeat and its answer to a report. A message without a term is.
func TestTerm_DeposedLeaderNotObeyed(t *testing.T) {
	dir := t.TempDir()
	bubble(t, func(t *testing.T) {
		n := start(t, dir, nil)
		lead := func(term int64) { n.link.with(func() { n.link.term = term }) }
		lead(20)
		n.give(assignment("a", 1))
		same(t, "of the leader", n.engine.has(), []string{"a"})

		lead(10)
		n.take("a", 1, model.DropSuperseded)
		n.give(assignment("b", 1))
		same(t, "after commands of the deposed leader", n.engine.has(), []string{"a"})
		n.link.answerOnce(model.HeartbeatAnswer{Term: 10, Drop: []model.Drop{{ID: "a", Attempt: 1, Reason: model.DropUnknown}}})
		n.pass(10 * time.Second)
		same(t, "after its answer to a heartbeat", n.engine.has(), []string{"a"})
		n.link.with(func() {
			n.link.report = func(r []model.Report) ([]*model.Error, []model.Drop, error) {
				return verdicts(r, model.Errorf(model.CodeConflict, "superseded")), []model.Drop{{ID: "a", Attempt: 1, Reason: model.DropSuperseded}}, nil
			}
		})
		n.engine.finish("a", map[string]string{"f": "1"})
		n.pass(10 * time.Second)
		same(t, "after its answer to a report", n.account("a"), "1 completed placed")

		n.link.with(func() { n.link.report = nil })
		lead(20)
		n.pass(time.Minute) // the refused report is repeated
		same(t, "acknowledged by the leader", n.account("a"), "- placed")
	})
	stored, err := os.ReadFile(filepath.Join(dir, stateDir, termName))
	if err != nil || string(stored) != "20\n" {
		t.Fatalf("stored: %q, %v", stored, err)
	}
	bubble(t, func(t *testing.T) {
		n := start(t, dir, func(_ *Config, n *node) { n.link.term = 10 })
		n.give(assignment("c", 1))
		n.pass(10 * time.Second)
		same(t, "of the deposed leader, after a restart", len(n.engine.has()), 0)
		n.link.with(func() { n.link.term = 0 })
		n.give(assignment("c", 1))
		n.pass(10 * time.Second)
		same(t, "of a dispatcher without standbys", n.engine.has(), []string{"c"})
		n.link.with(func() { n.link.term = 10 })
		n.take("c", 1, model.DropSuperseded)
		same(t, "of a leader after that", len(n.engine.has()), 0)
	})
}

// A term that cannot be read is forgotten; the worker starts.
func TestTerm_BrokenFileForgotten(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, stateDir), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, stateDir, termName), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	bubble(t, func(t *testing.T) {
		n := start(t, dir, func(_ *Config, n *node) { n.link.term = 3 })
		n.give(assignment("a", 1))
		same(t, "then", n.engine.has(), []string{"a"})
	})
}

// A term that cannot be stored is obeyed, and stored with a later message of the same term,
// when the disk takes it.
func TestTerm_StoredWhenDiskTakesIt(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, stateDir, termName)
	bubble(t, func(t *testing.T) {
		n := start(t, dir, nil)
		if err := os.MkdirAll(filepath.Join(path, "in the way"), 0o700); err != nil {
			t.Fatal(err)
		}
		n.link.with(func() { n.link.term = 20 })
		n.give(assignment("a", 1))
		same(t, "while the term cannot be stored", n.engine.has(), []string{"a"})
		if err := os.RemoveAll(path); err != nil {
			t.Fatal(err)
		}
		n.give(assignment("b", 1))
		same(t, "then", n.engine.has(), []string{"a", "b"})
	})
	if stored, err := os.ReadFile(path); err != nil || string(stored) != "20\n" {
		t.Errorf("stored: %q, %v", stored, err)
	}
}
