package worker

import (
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

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
	must(t, w.journal.put(&entry{Attempt: 1, Phase: phaseAccepted, Task: task("a")})[0])
	for name, want := range map[string]fs.FileMode{
		stateDir: 0o700, journalDir: 0o700, partsDir: 0o700, journalDir + "/a.json": 0o600, stateDir + "/instance": 0o600,
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

// The journal loads the entries that were put.
func TestJournal_LoadsWhatWasPut(t *testing.T) {
	w, err := open(t, t.TempDir(), nil)
	must(t, err)
	full := task("a")
	full.URL = "http://user:secret@example.com/"
	full.Torrent = []byte{0, 1, 255}
	full.Options = model.Options{"header": {"Cookie: x", "X-Y: z"}, "out": {"f"}}
	full.Tags, full.Folder, full.Timeout = map[string]string{"a": "b"}, "films", model.Seconds(90)
	full.Priority, full.NotBefore, full.Checksum = model.PriorityHigh, 1700000000123, "md5=x"
	put := []*entry{
		{Attempt: 1, Phase: phaseAccepted, Task: full},
		{Attempt: 2, Phase: phaseMoving, Task: task("b"), Place: &placement{Files: []model.File{{Path: "x/\"y", Length: 3}}, Target: "f", Single: true}},
		{Attempt: 3, Phase: phaseFinished, Task: task("c"), Report: &model.Report{ID: "c", Attempt: 3, Status: model.ReportFailed, Error: &model.TaskError{Code: 3, Message: "m", Class: model.ClassPermanent}}},
	}
	for _, err := range w.journal.put(put...) {
		must(t, err)
	}
	got, err := w.journal.load()
	must(t, err)
	same(t, "entries", len(got), len(put))
	for i := range got {
		same(t, "task", *got[i].Task, *put[i].Task)
		same(t, "attempt and phase", []any{got[i].Attempt, got[i].Phase}, []any{put[i].Attempt, put[i].Phase})
		if put[i].Place != nil {
			same(t, "place", *got[i].Place, *put[i].Place)
		}
		if put[i].Report != nil {
			same(t, "error", *got[i].Report.Error, *put[i].Report.Error)
		}
	}
	must(t, w.journal.remove("a"))
	must(t, w.journal.remove("a"))
	got, err = w.journal.load()
	must(t, err)
	same(t, "entries", len(got), 2)
}

// A broken journal file is set aside, and the other ones are read.
func TestJournal_BrokenFileIsSetAside(t *testing.T) {
	const good = `{"attempt":1,"phase":"accepted","task":{"id":"a","url":"http://x/"}}`
	for name, content := range map[string]string{
		"empty":                 "",
		"cut off":               good[:30],
		"no JSON":               "\x00\x00\x00",
		"without a task":        `{"attempt":1,"phase":"accepted"}`,
		"of another task":       `{"attempt":1,"phase":"accepted","task":{"id":"other"}}`,
		"without an attempt":    `{"phase":"accepted","task":{"id":"bad"}}`,
		"of an unknown phase":   `{"attempt":1,"phase":"x","task":{"id":"bad"}}`,
		"moving nowhere":        `{"attempt":1,"phase":"moving","task":{"id":"bad"}}`,
		"moving out":            `{"attempt":1,"phase":"moving","task":{"id":"bad"},"place":{"files":[{"path":"../x"}],"target":"f"}}`,
		"moving to a path":      `{"attempt":1,"phase":"moving","task":{"id":"bad"},"place":{"files":[{"path":"x"}],"target":"../f"}}`,
		"finished without word": `{"attempt":1,"phase":"finished","task":{"id":"bad"}}`,
		"finished otherwise":    `{"attempt":1,"phase":"finished","task":{"id":"bad"},"report":{"id":"bad","attempt":2,"status":"completed"}}`,
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, dir, journalDir+"/a.json", good)
			write(t, dir, journalDir+"/bad.json", content)
			write(t, dir, journalDir+"/c.json.tmp", "a write that was cut off")
			must(t, os.Chmod(filepath.Join(dir, stateDir), 0o700))
			w, err := open(t, dir, func(c *Config) { c.Logger = slog.New(slog.DiscardHandler) })
			must(t, err)
			same(t, "tasks", len(w.tasks), 1)
			same(t, "the journal has", list(t, filepath.Join(dir, journalDir)), []string{"a.json", "bad.json.broken", "c.json.tmp"})
			same(t, "renamed unchanged", read(t, filepath.Join(dir, journalDir, "bad.json.broken")), content)
		})
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
