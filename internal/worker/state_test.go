package worker

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aria-cluster/dispatcher/internal/worker/download"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

func open(t *testing.T, dir string, change func(*Config)) (*Worker, error) {
	t.Helper()
	cfg := Config{Name: "w1", Dir: dir, Slots: 1, NewEngine: newEngine(t).started, Link: &link{}}
	if change != nil {
		change(&cfg)
	}
	w, err := New(cfg)
	if err == nil {
		t.Cleanup(w.close)
	}
	return w, err
}

// One worker at a time uses a folder.
func TestNew_FolderInUseIsRefused(t *testing.T) {
	dir, films := t.TempDir(), t.TempDir()
	first, err := open(t, dir, func(c *Config) { c.Name, c.Folders = "alpha", map[string]string{"films": films} })
	must(t, err)
	for name, change := range map[string]func(*Config){
		"the download folder": nil,
		"one of the folders":  func(c *Config) { c.Dir, c.Folders = t.TempDir(), map[string]string{"x": films} },
	} {
		_, err := open(t, dir, change)
		if err == nil || !strings.Contains(err.Error(), "in use by the worker alpha") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", name, err)
		}
	}
	first.close()
	_, err = open(t, dir, nil)
	must(t, err)
}

// Two names for one folder share it.
func TestNew_TwoNamesShareOneFolder(t *testing.T) {
	dir := t.TempDir()
	link := filepath.Join(t.TempDir(), "link")
	must(t, os.Symlink(dir, link))
	w, err := open(t, dir, func(c *Config) {
		c.Folders = map[string]string{"same": dir, "link": link, "sub": filepath.Join(dir, "sub"), "sub2": filepath.Join(dir, "sub") + "/"}
	})
	must(t, err)
	same(t, "folders", len(w.distinctDirs()), 2)
}

// The instance is kept, and its epoch rises with each start.
func TestIdentity_EpochRisesWithEachStart(t *testing.T) {
	dir := t.TempDir()
	var instance string
	for start := int64(1); start <= 3; start++ {
		w, err := open(t, dir, nil)
		must(t, err)
		if instance == "" {
			instance = w.instance
		}
		same(t, "instance", w.instance, instance)
		same(t, "epoch", w.epoch, start)
		w.close()
	}
	write(t, dir, stateDir+"/epoch", "rubbish")
	w, err := open(t, dir, nil)
	must(t, err)
	same(t, "instance", w.instance, instance)
	if w.epoch <= 3 {
		t.Errorf("a broken epoch continues as %d", w.epoch)
	}
	w.close()
	write(t, dir, stateDir+"/instance", "not/a.name")
	w, err = open(t, dir, nil)
	must(t, err)
	if w.instance == instance || !model.ValidName(w.instance) {
		t.Errorf("a broken instance becomes %q", w.instance)
	}
}

// Other users cannot read the state.
func TestState_IsPrivate(t *testing.T) {
	dir := t.TempDir()
	w, err := open(t, dir, nil)
	must(t, err)
	w.journal.put(&entry{Attempt: 1, Phase: phaseAccepted, Task: task("a")}, func(err error) { must(t, err) })
	w.journal.commit(time.Now())
	for name, want := range map[string]fs.FileMode{
		stateDir: 0o700, journalDir: 0o700, partsDir: 0o700, journalDir + "/" + journalFile: 0o600, stateDir + "/instance": 0o600,
	} {
		info, err := os.Stat(filepath.Join(dir, name))
		must(t, err)
		same(t, "mode of "+name, info.Mode().Perm(), want)
	}
}

// A state folder that is a link or a file is refused.
func TestNew_StateFolderMustBeADirectory(t *testing.T) {
	for name, spoil := range map[string]func(dir string) error{
		"a link out":  func(dir string) error { return os.Symlink(t.TempDir(), filepath.Join(dir, stateDir)) },
		"a link in":   func(dir string) error { return os.Symlink(".", filepath.Join(dir, stateDir)) },
		"a file":      func(dir string) error { return os.WriteFile(filepath.Join(dir, stateDir), nil, 0o644) },
		"parts links": func(dir string) error { return linkParts(dir, t.TempDir()) },
	} {
		dir := t.TempDir()
		must(t, spoil(dir))
		if _, err := open(t, dir, nil); err == nil {
			t.Errorf("%s: opened", name)
		}
	}
}

func linkParts(dir, target string) error {
	if err := os.Mkdir(filepath.Join(dir, stateDir), 0o700); err != nil {
		return err
	}
	return os.Symlink(target, filepath.Join(dir, partsDir))
}

// The error names an invalid setting.
func TestConfig_InvalidSettingIsNamed(t *testing.T) {
	for want, change := range map[string]func(*Config){
		"name":         func(c *Config) { c.Name = "a.b" },
		"dir":          func(c *Config) { c.Dir = "" },
		"slots":        func(c *Config) { c.Slots = -1 },
		"folders":      func(c *Config) { c.Folders = map[string]string{"a/b": "/tmp"} },
		"folders.x":    func(c *Config) { c.Folders = map[string]string{"x": ""} },
		"keep_orphans": func(c *Config) { c.KeepOrphans = -1 },
		"engine":       func(c *Config) { c.NewEngine = nil },
	} {
		_, err := open(t, t.TempDir(), change)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}

// The totals survive a restart.
func TestStats_SurviveARestart(t *testing.T) {
	bubble(t, func(t *testing.T) {
		dir := t.TempDir()
		n := start(t, dir, nil)
		n.give(assignment("a", 1))
		n.engine.finish("a", map[string]string{"x": "1"})
		n.pass(11 * time.Second)
		n.stop()
		n = start(t, dir, nil)
		h := n.link.lastBeat()
		same(t, "completed ever, and since the start",
			[]int64{h.PerformanceStats.CompletedTasks, h.HealthMetrics.SuccessCount}, []int64{1, 0})
		same(t, "epoch", h.Epoch, int64(2))
	})
}

// The heartbeat counts as errors only failures of the worker's own files: another worker, too, could
// not do what fails at its source. The totals count every failure.
func TestStats_ErrorsAreOfTheWorkersFiles(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := start(t, t.TempDir(), nil)
		for i, c := range []struct {
			failure string
			err     *model.TaskError
			errors  int64 // so far
		}{
			{"no such file", &model.TaskError{Code: 3, Class: model.ClassPermanent}, 0},
			{"a host name without an address", &model.TaskError{Code: 19, Class: model.ClassRetryable}, 0},
			{"the server refuses", &model.TaskError{Code: 22, Class: model.ClassWorker, HTTPStatus: 403}, 0},
			{"a file that is larger than the disk", &model.TaskError{Code: 9, Class: model.ClassWorker}, 0},
			{"a dead swarm", &model.TaskError{Code: 7, Class: model.ClassWorker}, 0},
			{"a file exists", &model.TaskError{Code: 13, Class: model.ClassPermanent}, 0},
			{"a file cannot be created", &model.TaskError{Code: 16, Class: model.ClassWorker}, 1},
			{"a file cannot be written", &model.TaskError{Code: 17, Class: model.ClassWorker}, 2},
		} {
			id := "t" + string(rune('0'+i))
			n.give(assignment(id, 1))
			n.engine.set(id, download.State{Phase: download.Failed, Err: c.err})
			n.pass(11 * time.Second)
			h := n.link.lastBeat()
			same(t, c.failure+": errors, failed tasks", []int64{h.HealthMetrics.ErrorCount, h.PerformanceStats.FailedTasks}, []int64{c.errors, int64(i + 1)})
		}
	})
}

// The health of the machine is measured.
func TestHealth_IsMeasured(t *testing.T) {
	s := measurer(t.TempDir())(t.Context())
	m := s.metrics
	if m.DiskFree <= 0 || m.MemoryUsage <= 0 || m.Uptime <= 0 || s.diskSpace < m.DiskFree {
		t.Errorf("measured %+v of %d", m, s.diskSpace)
	}
	for _, x := range []float64{m.CPUUsage, m.MemoryUsage, m.DiskUsage} {
		if x < 0 || x > 100 {
			t.Errorf("%v percent", x)
		}
	}
}
