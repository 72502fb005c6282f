package worker

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/aria-cluster/dispatcher/internal/worker/download"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// engine is a download.Engine whose downloads do what the test says.
type engine struct {
	t       *testing.T
	mu      sync.Mutex
	jobs    map[string]download.Job
	states  map[string]download.State
	calls   []string // "add a", "remove a"
	pollErr error
	addErr  error
	lets    error // of Remove
	closed  bool
	changed chan struct{}

	onAdd, onRemove func(id string)
	stuck           map[string]bool // Remove of these waits until it is given up
}

// started is a Config.NewEngine that gives this engine.
func (e *engine) started(string) (download.Engine, error) { return e, nil }

func newEngine(t *testing.T) *engine {
	return &engine{t: t, jobs: map[string]download.Job{}, states: map[string]download.State{}, changed: make(chan struct{}, 1)}
}

func (e *engine) Capabilities() model.Capabilities {
	return model.Capabilities{Protocols: []string{"http", "https"}}
}

func (e *engine) Add(_ context.Context, job download.Job) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.addErr != nil {
		return e.addErr
	}
	e.calls = append(e.calls, "add "+job.Task.ID)
	if _, ok := e.jobs[job.Task.ID]; !ok {
		e.jobs[job.Task.ID], e.states[job.Task.ID] = job, download.State{}
	}
	if e.onAdd != nil {
		e.onAdd(job.Task.ID)
	}
	return nil
}

func (e *engine) Remove(ctx context.Context, id string) error {
	e.mu.Lock()
	stuck := e.stuck[id]
	e.mu.Unlock()
	if stuck {
		<-ctx.Done()
		return ctx.Err()
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.lets != nil {
		return e.lets
	}
	if _, ok := e.jobs[id]; ok {
		e.calls = append(e.calls, "remove "+id)
	}
	if e.onRemove != nil {
		e.onRemove(id)
	}
	delete(e.jobs, id)
	delete(e.states, id)
	return nil
}

func (e *engine) Poll(context.Context) (map[string]download.State, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return maps.Clone(e.states), e.pollErr
}

func (e *engine) Changed() <-chan struct{} { return e.changed }

func (e *engine) Close() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.closed = true
	return nil
}

// set changes how a job is.
func (e *engine) set(id string, s download.State) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.states[id] = s
	select {
	case e.changed <- struct{}{}:
	default:
	}
}

// dir is the part folder of a job.
func (e *engine) dir(id string) string {
	e.t.Helper()
	e.mu.Lock()
	defer e.mu.Unlock()
	job, ok := e.jobs[id]
	if !ok {
		e.t.Fatalf("the engine has no job %s", id)
	}
	return job.Dir
}

// finish writes the files of a job and says that it is complete. A part folder
// always has something else in it as well.
func (e *engine) finish(id string, files map[string]string) {
	e.t.Helper()
	dir := e.dir(id)
	write(e.t, dir, "x.aria2", "control")
	e.set(id, download.State{Phase: download.Complete, Files: writeAll(e.t, dir, files), Completed: 1, Total: 1})
}

func (e *engine) has() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Sorted(maps.Keys(e.jobs))
}

func (e *engine) log() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return strings.Join(e.calls, ", ")
}

func (e *engine) with(change func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	change()
}
