package downloadtest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/aria-cluster/dispatcher/internal/worker/download"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// patience bounds every wait of the suite.
const patience = 30 * time.Second

// Logger writes to the test's own output.
func Logger(t *testing.T) *slog.Logger {
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// Job makes a job of a URL in a folder of its own, with options given as name,
// value, name, value.
func Job(t *testing.T, id, url string, options ...string) download.Job {
	t.Helper()
	spec := model.TaskSpec{ID: id, URL: url, Options: jobOptions(options...)}
	dir := filepath.Join(t.TempDir(), "task")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return download.Job{Task: &model.Task{TaskSpec: spec}, Dir: dir}
}

// jobOptions makes a task's options of name, value, name, value.
func jobOptions(pairs ...string) model.Options {
	options := model.Options{"retry-wait": {"0"}}
	for i := 0; i+1 < len(pairs); i += 2 {
		options[pairs[i]] = model.OptionValue{pairs[i+1]}
	}
	return options
}

// Add gives a job to an engine.
func Add(t *testing.T, e download.Engine, job download.Job) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := e.Add(ctx, job); err != nil {
		t.Fatal(err)
	}
}

// Remove takes it back.
func Remove(t *testing.T, e download.Engine, id string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := e.Remove(ctx, id); err != nil {
		t.Fatal(err)
	}
}

// Await polls until the task's state is as wanted. A poll that fails, or that
// misses the task, is one more to come.
func Await(t *testing.T, e download.Engine, id string, wanted func(download.State) bool) download.State {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	var last download.State
	for {
		states, err := e.Poll(ctx)
		if s, ok := states[id]; ok && err == nil {
			if last = s; wanted(s) {
				return s
			}
		}
		select {
		case <-e.Changed():
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("task %s did not get there in %v; it is %+v, error %+v, poll: %v", id, patience, last, last.Err, err)
		}
	}
}

// Ended is the state of a job that goes no further.
func Ended(s download.State) bool { return s.Phase != download.Active }

// Reached is the state of a job that has n bytes.
func Reached(n int64) func(download.State) bool {
	return func(s download.State) bool { return s.Completed >= n || Ended(s) }
}

// MustFail waits until a task has failed and returns why.
func MustFail(t *testing.T, e download.Engine, id string) *model.TaskError {
	t.Helper()
	s := Await(t, e, id, Ended)
	if s.Phase != download.Failed || s.Err == nil {
		t.Fatalf("task %s did not fail: %+v", id, s)
	}
	return s.Err
}

// MustComplete waits until a task is complete and its one file holds exactly
// data. It returns the file's path relative to the job's folder.
func MustComplete(t *testing.T, e download.Engine, job download.Job, data []byte) string {
	t.Helper()
	s := Await(t, e, job.Task.ID, Ended)
	return check(t, job, s, data)
}

// MustCompleteInTheEnd is as MustComplete, but does as the dispatcher does with
// a retryable failure: it gives the task again, five times at most.
func MustCompleteInTheEnd(t *testing.T, e download.Engine, job download.Job, data []byte) {
	t.Helper()
	for range 5 {
		s := Await(t, e, job.Task.ID, Ended)
		if s.Phase == download.Complete || s.Err.Class != model.ClassRetryable {
			check(t, job, s, data)
			return
		}
		Remove(t, e, job.Task.ID)
		Add(t, e, job)
	}
	t.Fatalf("task %s failed five times", job.Task.ID)
}

func check(t *testing.T, job download.Job, s download.State, data []byte) string {
	t.Helper()
	if s.Phase != download.Complete {
		t.Fatalf("task %s is not complete: %+v, error %+v", job.Task.ID, s, s.Err)
	}
	if len(s.Files) != 1 || s.Files[0].Length != int64(len(data)) || s.Total != int64(len(data)) || s.Completed != s.Total {
		t.Fatalf("task %s: files and lengths are not as expected: %+v", job.Task.ID, s)
	}
	if !s.Synced {
		t.Errorf("task %s is complete, and its bytes are not synced", job.Task.ID)
	}
	got, err := os.ReadFile(filepath.Join(job.Dir, filepath.FromSlash(s.Files[0].Path)))
	if err != nil {
		t.Fatal(err)
	}
	if digest(got) != digest(data) {
		t.Fatalf("task %s: the file has another sha256 than its source", job.Task.ID)
	}
	return s.Files[0].Path
}

func digest(data []byte) string {
	h := sha256.Sum256(data)
	return hex.EncodeToString(h[:])
}
