package worker

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aria-cluster/dispatcher/internal/worker/download"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// Ways in which the worker may hold attempt 2 of the task "a".
var holdings = map[string]func(n *node){
	"nothing": func(*node) {},
	"downloading": func(n *node) {
		n.give(assignment("a", 2))
		write(n.T, n.engine.dir("a"), "f.part", "half")
	},
	"completed": func(n *node) {
		n.link.with(func() { n.link.report = deaf })
		n.give(assignment("a", 2))
		n.engine.finish("a", map[string]string{"f": "1"})
		n.pass(time.Second)
	},
	"failed": func(n *node) {
		n.link.with(func() { n.link.report = deaf })
		n.give(assignment("a", 2))
		write(n.T, n.engine.dir("a"), "f.part", "half")
		n.engine.set("a", download.State{Phase: download.Failed})
		n.pass(time.Second)
	},
	"answered": func(n *node) {
		n.give(assignment("a", 2))
		n.engine.set("a", download.State{Phase: download.Failed})
		n.pass(time.Second)
	},
	"paused": func(n *node) {
		n.give(assignment("a", 2))
		write(n.T, n.engine.dir("a"), "f.part", "half")
		n.take("a", 2, model.DropPaused)
	},
}

// Each command of the dispatcher has its effect on a held task.
func TestDrop_EachReasonHasItsEffect(t *testing.T) {
	assign := func(attempt int64) model.HeartbeatAnswer {
		return model.HeartbeatAnswer{Assign: []model.Assignment{assignment("a", attempt)}}
	}
	drop := func(attempt int64, reason model.DropReason) model.HeartbeatAnswer {
		return model.HeartbeatAnswer{Drop: []model.Drop{{ID: "a", Attempt: attempt, Reason: reason}}}
	}
	forget := func(attempt int64) model.HeartbeatAnswer {
		return model.HeartbeatAnswer{Forget: []model.TaskRef{{ID: "a", Attempt: attempt}}}
	}
	const nothing = "-"
	tests := []struct {
		held string
		said model.HeartbeatAnswer
		want string // what is listed then; + if in the engine; its bytes
	}{
		{"nothing", assign(2), "2 downloading + empty"},
		{"nothing", drop(2, model.DropCanceled), nothing},
		{"nothing", forget(2), nothing},

		{"downloading", model.HeartbeatAnswer{}, "2 downloading + half"},
		{"downloading", assign(2), "2 downloading + half"},
		{"downloading", assign(1), "2 downloading + half"},
		{"downloading", assign(3), "3 downloading + half"},
		{"downloading", drop(1, model.DropCanceled), "2 downloading + half"},
		{"downloading", drop(3, model.DropCanceled), "2 downloading + half"},
		{"downloading", drop(2, model.DropCanceled), nothing},
		{"downloading", drop(2, model.DropDeleted), nothing},
		{"downloading", drop(2, model.DropPaused), "- half"},
		{"downloading", drop(2, model.DropSuperseded), "- half"},
		{"downloading", drop(2, model.DropUnknown), "- half"},
		{"downloading", forget(1), "2 downloading + half"},
		{"downloading", forget(2), "- half"},

		{"completed", assign(2), "2 completed placed"},
		{"completed", assign(3), "3 completed placed"}, // every byte is here already
		{"completed", drop(2, model.DropCanceled), nothing},
		{"completed", drop(2, model.DropSuperseded), "- placed"},
		{"completed", drop(1, model.DropCanceled), "2 completed placed"},
		{"completed", forget(2), "- placed"},
		{"completed", forget(3), "2 completed placed"},

		{"failed", assign(2), "2 failed half"},
		{"failed", assign(3), "3 downloading + half"},
		{"failed", drop(2, model.DropCanceled), nothing},
		{"failed", drop(2, model.DropSuperseded), "- half"},
		{"failed", forget(2), "- half"},

		{"answered", assign(1), "- empty"}, // late
		{"answered", assign(2), "- empty"}, // doubled
		{"answered", assign(3), "3 downloading + empty"},

		{"paused", assign(2), "- half"},
		{"paused", assign(3), "3 downloading + half"},
		{"paused", drop(2, model.DropPaused), "- half"},
		{"paused", drop(2, model.DropCanceled), nothing},
	}
	for _, test := range tests {
		name := fmt.Sprintf("%s, told %s", test.held, saying(test.said))
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				n := start(t, t.TempDir(), nil)
				holdings[test.held](n)
				n.link.answerOnce(test.said)
				n.pass(11 * time.Second)
				same(t, "then", n.account("a"), test.want)
				for _, name := range n.journaled() {
					if n.account("a")[0] == '-' {
						t.Errorf("the journal still has %s", name)
					}
				}
			})
		})
	}
}

// account sums up what became of a task.
func (n *node) account(id string) string {
	words := []string{"-"}
	for _, r := range n.link.lastBeat().Tasks {
		if r.ID == id {
			words = []string{fmt.Sprint(r.Attempt), string(r.Status)}
		}
	}
	for _, job := range n.engine.has() {
		if job == id {
			words = append(words, "+")
		}
	}
	if len(n.parts()) > 0 {
		if in := list(n.T, filepath.Join(n.dir, partDir(id))); len(in) > 0 {
			words = append(words, "half")
		} else {
			words = append(words, "empty")
		}
	}
	if len(files(n.T, n.dir)) > 0 {
		words = append(words, "placed")
	}
	return strings.Join(words, " ")
}

// A drop that arrives before its assignment is remembered.
func TestDrop_BeforeItsAssignmentIsRemembered(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := start(t, t.TempDir(), nil)
		n.take("a", 1, model.DropCanceled)
		n.give(assignment("a", 1))
		same(t, "the engine has", n.engine.has(), nil)
		n.pass(11 * time.Minute)
		n.give(assignment("a", 1))
		same(t, "after ten minutes it has", n.engine.has(), []string{"a"})
	})
}

// The files of a deleted task that is no longer held are removed.
func TestDrop_DeletedTaskLosesItsFiles(t *testing.T) {
	bubble(t, func(t *testing.T) {
		films := t.TempDir()
		n := start(t, t.TempDir(), func(c *Config, _ *node) { c.Folders = map[string]string{"films": films} })
		a := assignment("a", 1)
		a.Task.Folder = "films"
		n.give(a)
		n.engine.finish("a", map[string]string{"x": "1", "sub/y": "22"})
		n.pass(2 * time.Second)
		same(t, "files", files(t, films), map[string]string{"a/x": "1", "a/sub/y": "22"})
		result := n.link.lastReport("a").Result
		erase := []model.Drop{{ID: "a", Attempt: 1, Reason: model.DropDeleted, Folder: "films", Result: result}}
		n.link.drop(erase)
		n.pass(time.Second)
		same(t, "files", files(t, films), nil)
		same(t, "what is in the folder", list(t, films), []string{".aria"})

		// It is said again, when another task has put a file of that name and length.
		if err := os.Mkdir(filepath.Join(films, "a"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(films, "a", "x"), []byte("2"), 0o600); err != nil {
			t.Fatal(err)
		}
		n.link.drop(erase)
		n.pass(time.Second)
		same(t, "files", files(t, films), map[string]string{"a/x": "2"})
	})
}

// No file is deleted from another folder.
func TestDrop_FilesOfAnotherFolderStay(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := start(t, t.TempDir(), nil)
		n.give(assignment("a", 1))
		n.engine.finish("a", map[string]string{"x": "1"})
		n.pass(2 * time.Second)
		before := len(files(t, n.dir))
		n.link.drop([]model.Drop{{ID: "a", Attempt: 1, Reason: model.DropDeleted, Folder: "elsewhere", Result: n.link.lastReport("a").Result}})
		n.pass(time.Second)
		same(t, "files", len(files(t, n.dir)), before)
	})
}
