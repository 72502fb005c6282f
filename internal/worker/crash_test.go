package worker

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/aria-cluster/dispatcher/internal/worker/download"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// The moments of one task's life at which the worker is killed. At each the folder
// is copied, which is what a kill -9 leaves behind, and another worker starts on
// the copy.
const (
	killedAccepted = "in the journal, not in the engine"
	killedComplete = "complete, not moved"
	killedMoved    = "moved and journaled, not answered"
)

// stableFS hides the temporary file of the statistics, which is renamed while the worker
// runs: a copy of the folder may list it and not find it.
type stableFS struct{ fs.ReadDirFS }

func (f stableFS) ReadDir(name string) ([]fs.DirEntry, error) {
	list, err := f.ReadDirFS.ReadDir(name)
	return slices.DeleteFunc(list, func(e fs.DirEntry) bool { return e.Name() == statsName+".tmp" }), err
}

// lives runs one task to its end and returns a copy of the folder at each moment.
func lives(t *testing.T, a model.Assignment, contents map[string]string) map[string]string {
	t.Helper()
	copies := map[string]string{}
	n := start(t, t.TempDir(), nil)
	snapshot := func(moment string) {
		if copies[moment] != "" {
			return
		}
		copies[moment] = t.TempDir()
		if err := os.CopyFS(copies[moment], stableFS{os.DirFS(n.dir).(fs.ReadDirFS)}); err != nil {
			t.Error(err)
		}
	}
	n.engine.with(func() {
		n.engine.onAdd = func(string) { snapshot(killedAccepted) }
		n.engine.onRemove = func(id string) {
			if n.engine.states[id].Phase == download.Complete {
				snapshot(killedComplete)
			}
		}
	})
	n.give(a)
	n.link.with(func() {
		n.link.report = func(r []model.Report) ([]*model.Error, []model.Drop, error) {
			if r[0].Status == model.ReportCompleted {
				snapshot(killedMoved)
			}
			return make([]*model.Error, len(r)), nil, nil
		}
	})
	n.engine.finish(a.Task.ID, contents)
	n.pass(time.Second)
	n.stop()
	if len(copies) != 3 {
		t.Fatalf("only %d moments came", len(copies))
	}
	return copies
}

// A kill at any moment loses nothing and repeats nothing.
func TestWorker_KillLosesAndRepeatsNothing(t *testing.T) {
	single := assignment("a", 4)
	single.Task.Options = model.Options{"out": {"film.mkv"}}
	folder := assignment("a", 4)
	one := map[string]string{"raw name": "12345"}
	two := map[string]string{"x": "1", "sub/y": "22"}
	placed := map[string]string{"film.mkv": "12345"}
	placedFolder := map[string]string{"a/x": "1", "a/sub/y": "22"}

	tests := []struct {
		name     string
		task     model.Assignment
		contents map[string]string
		moment   string
		then     func(t *testing.T, dir string) // what else had happened
		fetched  bool                           // it is given to the engine again
		want     map[string]string
	}{
		{"one file, accepted", single, one, killedAccepted, nil, true, placed},
		{"one file, complete", single, one, killedComplete, nil, false, placed},
		{"one file, linked but the old name is there too", single, one, killedComplete, func(t *testing.T, dir string) {
			must(t, os.Link(filepath.Join(dir, partDir("a"), "raw name"), filepath.Join(dir, "film.mkv")))
		}, false, placed},
		{"one file, linked and half cleared", single, one, killedComplete, func(t *testing.T, dir string) {
			must(t, os.Rename(filepath.Join(dir, partDir("a"), "raw name"), filepath.Join(dir, "film.mkv")))
		}, false, placed},
		{"one file, moved", single, one, killedComplete, func(t *testing.T, dir string) {
			must(t, os.Rename(filepath.Join(dir, partDir("a"), "raw name"), filepath.Join(dir, "film.mkv")))
			must(t, os.RemoveAll(filepath.Join(dir, partDir("a"))))
		}, false, placed},
		{"one file, journaled", single, one, killedMoved, nil, false, placed},
		{"one file, its bytes were lost", single, one, killedComplete, func(t *testing.T, dir string) {
			must(t, os.RemoveAll(filepath.Join(dir, partDir("a"))))
		}, true, placed},
		{"a folder, accepted", folder, two, killedAccepted, nil, true, placedFolder},
		{"a folder, complete", folder, two, killedComplete, nil, false, placedFolder},
		{"a folder, moved", folder, two, killedComplete, func(t *testing.T, dir string) {
			must(t, os.Remove(filepath.Join(dir, partDir("a"), "x.aria2")))
			must(t, os.Rename(filepath.Join(dir, partDir("a")), filepath.Join(dir, "a")))
		}, false, placedFolder},
		{"a folder, journaled", folder, two, killedMoved, nil, false, placedFolder},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				dir := lives(t, test.task, test.contents)[test.moment]
				if test.then != nil {
					test.then(t, dir)
				}
				n := start(t, dir, nil)
				n.pass(time.Second)
				if test.fetched {
					same(t, "calls of the engine", n.engine.log(), "add a")
					n.engine.finish("a", test.contents)
					n.pass(time.Second)
				} else {
					same(t, "calls of the engine", n.engine.log(), "")
				}
				r := n.link.lastReport("a")
				same(t, "status", r.Status, model.ReportCompleted)
				same(t, "attempt", r.Attempt, int64(4))
				same(t, "files", files(t, dir), test.want)
				same(t, "files of the result", len(r.Result.Files), len(test.want))
				same(t, "parts", n.parts(), nil)
				same(t, "the journal has", n.journaled(), nil)
			})
		})
	}
}

// A report that a crash lost is repeated.
func TestRecover_LostReportIsRepeated(t *testing.T) {
	bubble(t, func(t *testing.T) {
		dir := lives(t, assignment("a", 4), map[string]string{"x": "1"})[killedMoved]
		n := start(t, dir, func(_ *Config, n *node) {
			n.link.answerOnce(model.HeartbeatAnswer{Forget: []model.TaskRef{{ID: "a", Attempt: 4}}})
		})
		n.pass(time.Second)
		same(t, "the heartbeat listed", n.link.sent()[0].Tasks[0].Status, model.ReportCompleted)
		same(t, "the journal has", n.journaled(), nil)
	})
}

// The journal has an assignment before the engine gets it.
func TestAssign_JournalPrecedesTheEngine(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := start(t, t.TempDir(), nil)
		var before []string
		n.engine.with(func() { n.engine.onAdd = func(string) { before = n.journaled() } })
		n.give(assignment("a", 1))
		same(t, "the journal had", before, []string{"a"})
	})
}

// The journal has the destination of the files before they are moved, also while records
// wait to share a sync.
func TestMove_JournalPrecedesIt(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := start(t, t.TempDir(), nil)
		tasks := []string{"a", "b", "c"}
		for _, id := range tasks {
			n.give(assignment(id, 1))
		}
		moved := map[string]phase{}
		n.engine.with(func() {
			n.engine.onRemove = func(id string) {
				moved[id] = readJournal([]byte(read(t, filepath.Join(n.dir, journalDir, journalFile)))).entries[id].Phase
			}
		})
		for _, id := range tasks {
			n.engine.finish(id, map[string]string{"x": id})
			n.pass(100 * time.Microsecond)
		}
		n.pass(time.Second)
		same(t, "phases in the journal", moved, map[string]phase{"a": phaseMoving, "b": phaseMoving, "c": phaseMoving})
		same(t, "files", files(t, n.dir), map[string]string{"a/x": "a", "b/x": "b", "c/x": "c"})
	})
}

// A task that the configuration no longer allows is given back.
func TestRecover_DisallowedTaskIsGivenBack(t *testing.T) {
	bubble(t, func(t *testing.T) {
		dir, films := t.TempDir(), t.TempDir()
		n := start(t, dir, func(c *Config, n *node) {
			c.Folders = map[string]string{"films": films}
			n.link.beat = nil
		})
		a := assignment("a", 1)
		a.Task.Folder = "films"
		n.give(a)
		n.link.with(func() {
			n.link.beat = func(*model.Heartbeat) (*model.HeartbeatAnswer, error) {
				return nil, model.Errorf(model.CodeUnavailable, "starting")
			}
		})
		n.stop()
		same(t, "the journal has", n.journaled(), []string{"a"})
		n = start(t, dir, nil)
		n.pass(time.Second)
		same(t, "reports", n.link.said("a"), []string{"1 rejected"})
		same(t, "the journal has", n.journaled(), nil)
	})
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// No report is sent before the dispatcher knows the worker.
func TestReport_WaitsForAdmission(t *testing.T) {
	bubble(t, func(t *testing.T) {
		dir := lives(t, assignment("a", 4), map[string]string{"x": "1"})[killedMoved]
		n := start(t, dir, func(_ *Config, n *node) {
			n.link.beat = func(*model.Heartbeat) (*model.HeartbeatAnswer, error) {
				return nil, model.Errorf(model.CodeUnavailable, "starting")
			}
		})
		n.pass(time.Minute)
		same(t, "reports", n.link.said("a"), nil)
		n.link.with(func() { n.link.beat = nil })
		n.pass(10 * time.Second)
		same(t, "reports", n.link.said("a"), []string{"4 completed"})
	})
}
