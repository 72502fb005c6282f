package app

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/aria-cluster/dispatcher/internal/display"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// TestLines_PrintChangesAndOccasionalProgress checks the lines that are printed without
// a terminal.
func TestLines_PrintChangesAndOccasionalProgress(t *testing.T) {
	var out strings.Builder
	now := time.Unix(0, 0)
	d, err := display.New(display.Options{Out: &out, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	w := newWatch(d, "downloads")

	w.event(&model.TaskEvent{ID: "a", Status: model.StatusQueued}) // before the answer of its submit
	w.submitted("https://u:p@h/a.iso?x=1", &model.Task{TaskSpec: model.TaskSpec{ID: "a"}, TaskState: model.TaskState{Status: model.StatusPending}}, nil)
	w.submitted("gopher://h/b", nil, model.Errorf(model.CodeInvalid, "url: the scheme is wrong"))
	w.submitted("http://h/c", &model.Task{TaskSpec: model.TaskSpec{ID: "c"}, TaskState: model.TaskState{Status: model.StatusPending}}, nil)
	w.event(&model.TaskEvent{ID: "a", Status: model.StatusDownloading})
	for range 30 { // three seconds
		now = now.Add(100 * time.Millisecond)
		w.progress(&model.ProgressEvent{ID: "a", CompletedLength: 512, TotalLength: 1024, DownloadSpeed: 2048})
	}
	w.event(&model.TaskEvent{ID: "c", Status: model.StatusPending, Error: &model.TaskError{Message: "refused"}})
	w.event(&model.TaskEvent{ID: "c", Status: model.StatusQueued})
	w.event(&model.TaskEvent{ID: "c", Status: model.StatusPending, Error: &model.TaskError{Message: "refused"}})
	w.event(&model.TaskEvent{ID: "c", Status: model.StatusPending})
	w.event(&model.TaskEvent{ID: "c", Status: model.StatusFailed, Error: &model.TaskError{Message: "no such file"}})
	if open := w.open(); len(open) != 1 || open[0] != "a" {
		t.Errorf("open are %v, want a", open)
	}
	w.event(&model.TaskEvent{ID: "a", Status: model.StatusCompleted, Result: &model.Result{
		TotalLength: 1024, Files: []model.File{{Path: "a/a.iso", Length: 1024}},
	}})
	w.event(&model.TaskEvent{ID: "a", Status: model.StatusDownloading}) // late

	if err := w.summary(&out); !errors.Is(err, ErrNotAllCompleted) {
		t.Errorf("summary: %v", err)
	}
	want := `a.iso: pending
a.iso: queued
b: refused: url: the scheme is wrong
c: pending
a.iso: downloading
a.iso: downloading 50% of 1.0 KiB, 2.0 KiB/s
c: queued
c: waits before the next attempt: refused
c: failed: no such file
a.iso: completed
completed https://xxxxx@h/a.iso?x=1: downloads/a/a.iso (1.0 KiB)
refused gopher://h/b: url: the scheme is wrong
failed http://h/c: no such file
1 of 3 completed
`
	if out.String() != want {
		t.Errorf("printed:\n%s\nwant:\n%s", out.String(), want)
	}
}

// TestRunGroup_EndsPartsLastFirst checks that all parts end when one does, the last one
// first.
func TestRunGroup_EndsPartsLastFirst(t *testing.T) {
	var order []string
	part := func(name string, fail error) func(context.Context) error {
		return func(ctx context.Context) error {
			if fail != nil {
				return fail
			}
			<-ctx.Done()
			order = append(order, name)
			return nil
		}
	}
	broken := errors.New("broken")
	err := runGroup(t.Context(), []func(context.Context) error{part("daemon", nil), part("worker", nil), part("", broken)},
		func() error { order = append(order, "connection"); return nil })
	if !errors.Is(err, broken) || strings.Join(order, " ") != "worker connection daemon" {
		t.Errorf("ended in the order %v with %v", order, err)
	}
}

// TestNextFree_SkipsTakenPort checks that a taken port is skipped.
func TestNextFree_SkipsTakenPort(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	got, err := nextFree(l.Addr().String())
	if err != nil || got == l.Addr().String() {
		t.Errorf("nextFree(%s) is %s, %v", l.Addr(), got, err)
	}
	for in, want := range map[string]string{"127.0.0.1:0": "127.0.0.1:0", "127.0.0.1:-1": "127.0.0.1:-1"} {
		if got, err := nextFree(in); err != nil || got != want {
			t.Errorf("nextFree(%s) is %s, %v", in, got, err)
		}
	}
	if _, err := nextFree("nonsense"); err == nil {
		t.Error("nonsense was taken for an address")
	}
}
