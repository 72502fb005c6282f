package worker

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// link is a Link whose dispatcher does what the test says: by default it answers
// everything and wants nothing.
type link struct {
	mu      sync.Mutex
	beats   []*model.Heartbeat
	reports [][]model.Report
	term    int64 // of the dispatcher
	command func(*model.Command)

	beat   func(*model.Heartbeat) (*model.HeartbeatAnswer, error)
	report func([]model.Report) ([]*model.Error, []model.Drop, error)
}

func (l *link) Heartbeat(_ context.Context, h *model.Heartbeat) (*model.HeartbeatAnswer, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.beats = append(l.beats, h)
	if l.beat != nil {
		return l.beat(h)
	}
	return &model.HeartbeatAnswer{HeartbeatInterval: model.Seconds(5), Term: l.term}, nil
}

func (l *link) Report(_ context.Context, reports []model.Report) (*model.ReportAnswer, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.reports = append(l.reports, reports)
	if l.report != nil {
		verdicts, drop, err := l.report(reports)
		return &model.ReportAnswer{Term: l.term, Verdicts: verdicts, Drop: drop}, err
	}
	return &model.ReportAnswer{Term: l.term, Verdicts: make([]*model.Error, len(reports))}, nil
}

func (l *link) Reachable(context.Context) error { return nil }

func (l *link) Listen(command func(*model.Command), _ func()) (func(), error) {
	l.command = command
	return func() {}, nil
}

// assign and drop send commands. An empty list of assignments asks for a heartbeat.
func (l *link) assign(list []model.Assignment) { l.command(&model.Command{Term: l.term, Assign: list}) }
func (l *link) drop(list []model.Drop)         { l.command(&model.Command{Term: l.term, Drop: list}) }

func (l *link) with(change func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change()
}

// answerOnce has the next heartbeat answered so.
func (l *link) answerOnce(a model.HeartbeatAnswer) {
	l.with(func() {
		l.beat = func(*model.Heartbeat) (*model.HeartbeatAnswer, error) {
			l.beat = nil
			a.HeartbeatInterval = model.Seconds(5)
			return &a, nil
		}
	})
}

func (l *link) lastBeat() *model.Heartbeat {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.beats) == 0 {
		return &model.Heartbeat{}
	}
	return l.beats[len(l.beats)-1]
}

// sent lists the heartbeats so far.
func (l *link) sent() []*model.Heartbeat {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.beats)
}

// said lists everything that was reported of a task, as "attempt status".
func (l *link) said(id string) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var list []string
	for _, batch := range l.reports {
		for i := range batch {
			if r := &batch[i]; r.ID == id {
				list = append(list, fmt.Sprintf("%d %s", r.Attempt, r.Status))
			}
		}
	}
	return list
}

// lastReport is the last one about a task.
func (l *link) lastReport(id string) model.Report {
	l.mu.Lock()
	defer l.mu.Unlock()
	var last model.Report
	for _, batch := range l.reports {
		for i := range batch {
			if batch[i].ID == id {
				last = batch[i]
			}
		}
	}
	return last
}

// node is a running worker with everything round it.
type node struct {
	*testing.T
	*Worker
	dir    string
	engine *engine
	link   *link
	free   func(ctx context.Context, path string) int64 // of the disk; nil: as it is
	cancel context.CancelFunc
	done   chan error
}

// start runs a worker on the folder, in a bubble. It is stopped at the end of the
// test at the latest.
func start(t *testing.T, dir string, change func(*Config, *node)) *node {
	t.Helper()
	n := &node{T: t, dir: dir, engine: newEngine(t), link: &link{}, done: make(chan error, 1)}
	cfg := Config{Name: "w1", Dir: dir, Slots: 3, NewEngine: n.engine.started, Link: n.link}
	if change != nil {
		change(&cfg, n)
	}
	w, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	w.measure = func(context.Context) sample { return sample{} }
	if n.free != nil {
		w.free = n.free
	}
	n.Worker = w
	ctx, cancel := context.WithCancel(context.Background())
	n.cancel = cancel
	go func() { n.done <- w.Run(ctx) }()
	t.Cleanup(func() { n.stop() })
	n.pass(0)
	return n
}

// stop ends the worker as SIGTERM would, and waits.
func (n *node) stop() {
	n.Helper()
	if n.cancel == nil {
		return
	}
	n.cancel()
	n.cancel = nil
	if err := <-n.done; err != nil {
		n.Errorf("Run: %v", err)
	}
	synctest.Wait()
}

// pass lets time pass in the bubble, and everything come to rest.
func (n *node) pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// give sends assignments as the dispatcher's command.
func (n *node) give(list ...model.Assignment) {
	n.Helper()
	n.link.assign(list)
	n.pass(100 * time.Millisecond)
}

func (n *node) take(id string, attempt int64, reason model.DropReason) {
	n.Helper()
	n.link.drop([]model.Drop{{ID: id, Attempt: attempt, Reason: reason}})
	n.pass(200 * time.Millisecond)
}

// journaled lists the tasks in the journal.
func (n *node) journaled() []string {
	n.Helper()
	return journaled(n.T, n.dir)
}

func journaled(t *testing.T, dir string) []string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, journalDir, journalFile))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	must(t, err)
	c := readJournal(data)
	if c.cut > 0 || len(c.broken) > 0 {
		t.Errorf("the journal has %d bytes too many, and %v", c.cut, c.broken)
	}
	return slices.Sorted(maps.Keys(c.entries))
}

func (n *node) parts() []string {
	n.Helper()
	return list(n.T, filepath.Join(n.dir, partsDir))
}

func task(id string) *model.Task {
	return &model.Task{TaskSpec: model.TaskSpec{ID: id, URL: "http://example.com/" + id}, Client: "c"}
}

func assignment(id string, attempt int64) model.Assignment {
	return model.Assignment{Task: task(id), Attempt: attempt}
}

func list(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// files lists what a person sees in a download folder: paths and contents.
func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.Name() == stateDir {
			return filepath.SkipDir
		}
		if d.Type().IsRegular() {
			name, _ := filepath.Rel(dir, path)
			found[name] = read(t, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func write(t *testing.T, dir, name, content string) {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func writeAll(t *testing.T, dir string, contents map[string]string) []model.File {
	t.Helper()
	var list []model.File
	for _, name := range slices.Sorted(maps.Keys(contents)) {
		write(t, dir, name, contents[name])
		list = append(list, model.File{Path: name, Length: int64(len(contents[name]))})
	}
	return list
}

// same fails the test if the two differ as printed.
func same[T any](t *testing.T, what string, got, want T) {
	t.Helper()
	if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
		t.Errorf("%s:\n got %+v\nwant %+v", what, got, want)
	}
}
