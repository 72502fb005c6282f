package app

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/aria-cluster/dispatcher/internal/display"
	"github.com/aria-cluster/dispatcher/internal/worker"
	"github.com/aria-cluster/dispatcher/pkg/bus/client"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// watch follows the downloads of one client until their terminal status.
type watch struct {
	display *display.Display
	dir     string

	mu    sync.Mutex
	items []*item
	byID  map[string]*item
	early map[string]*model.TaskEvent // events before the answer of their submit
}

// item is one URL and the state of its download.
type item struct {
	url, name string
	id        string
	status    model.Status
	completed int64
	total     int64
	speed     int64
	err       string // why it failed or was refused
	lastError string // error of the last attempt
	result    *model.Result
}

func (i *item) done() bool { return i.err != "" || i.status.Terminal() }

// show shows the state of an item.
func (w *watch) show(i *item) {
	w.display.Update(display.Item{
		Key: cmp.Or(i.id, i.url), Name: i.name, Status: i.status,
		Completed: i.completed, Total: i.total, Speed: i.speed, Error: i.err, LastError: i.lastError,
	})
}

// pollInterval is the time between two reads of a download: events are hints.
const pollInterval = time.Second

func newWatch(d *display.Display, dir string) *watch {
	return &watch{display: d, dir: dir, byID: make(map[string]*item), early: make(map[string]*model.TaskEvent)}
}

// submitted adds a URL that was answered with a task or an error.
func (w *watch) submitted(url string, task *model.Task, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	i := &item{url: model.RedactURL(url), name: display.NameOfURL(url)}
	w.items = append(w.items, i)
	if err != nil {
		i.err = model.AsError(err).Message
		w.show(i)
		return
	}
	i.id, i.status = task.ID, task.Status
	w.byID[i.id] = i
	w.show(i)
	if ev := w.early[i.id]; ev != nil {
		w.apply(i, ev)
	}
	delete(w.early, i.id)
}

func (w *watch) event(ev *model.TaskEvent) {
	w.mu.Lock()
	defer w.mu.Unlock()
	i := w.byID[ev.ID]
	if i == nil {
		w.early[ev.ID] = ev
		return
	}
	w.apply(i, ev)
}

func (w *watch) apply(i *item, ev *model.TaskEvent) {
	if i.done() {
		return
	}
	i.status, i.result = ev.Status, ev.Result
	switch {
	case ev.Status == model.StatusPending && ev.Error != nil:
		i.lastError = ev.Error.Message
	case ev.Status == model.StatusCompleted && ev.Result != nil:
		i.completed, i.total, i.speed = ev.Result.TotalLength, ev.Result.TotalLength, 0
	case ev.Status == model.StatusFailed && ev.Error != nil:
		i.err = ev.Error.Message
	case ev.Status == model.StatusCanceled:
		i.err = "canceled"
	}
	w.show(i)
}

func (w *watch) progress(ev *model.ProgressEvent) {
	w.mu.Lock()
	defer w.mu.Unlock()
	i := w.byID[ev.ID]
	if i == nil || i.done() {
		return
	}
	i.completed, i.total, i.speed = ev.CompletedLength, ev.TotalLength, ev.DownloadSpeed
	w.show(i)
}

// wait returns when every URL has a terminal status.
func (w *watch) wait(ctx context.Context, c func() *client.Client) error {
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		open := w.open()
		if len(open) == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil // stopped by the user
		case <-tick.C:
		}
		for _, id := range open {
			task, err := c().Get(ctx, id)
			if err != nil {
				break // the next read may succeed
			}
			w.event(&model.TaskEvent{ID: id, Status: task.Status, Error: task.Error, Result: task.Result})
		}
	}
}

func (w *watch) open() (ids []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, i := range w.items {
		if !i.done() {
			ids = append(ids, i.id)
		}
	}
	return ids
}

// summary prints where each file is, or why it is missing.
func (w *watch) summary(out io.Writer) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	completed := 0
	for _, i := range w.items {
		if !i.done() {
			fmt.Fprintf(out, "%s: %s; run the same command to resume\n", display.Clean(i.url), w.interrupted(i))
			continue
		}
		if i.status != model.StatusCompleted || i.result == nil {
			fmt.Fprintf(out, "%s %s: %s\n", statusLabel(i), display.Clean(i.url), display.Clean(i.err))
			continue
		}
		completed++
		for _, f := range i.result.Files {
			fmt.Fprintf(out, "completed %s: %s (%s)\n", display.Clean(i.url), display.Clean(filepath.Join(w.dir, filepath.FromSlash(f.Path))), display.Bytes(f.Length))
		}
	}
	fmt.Fprintf(out, "%d of %d completed\n", completed, len(w.items))
	if completed < len(w.items) {
		return ErrNotAllCompleted
	}
	return nil
}

// interrupted returns how much of an item was downloaded, and where its partial file
// is.
func (w *watch) interrupted(i *item) string {
	if i.completed == 0 {
		return "interrupted before its first byte"
	}
	far := display.Bytes(i.completed)
	if i.total > 0 {
		far += " of " + display.Bytes(i.total)
	}
	return fmt.Sprintf("interrupted at %s; the partial file is in %s", far, w.partFolder(i.id))
}

// partFolder returns the folder of a task's partial file, relative to the working
// directory if that is shorter.
func (w *watch) partFolder(id string) string {
	parts, err := worker.PartsDir(w.dir)
	if err != nil {
		return w.dir
	}
	if here, err := os.Getwd(); err == nil {
		if rel, err := filepath.Rel(here, parts); err == nil && len(rel) < len(parts) {
			parts = rel
		}
	}
	return filepath.Join(parts, id)
}

// statusLabel is the status of an item that is done.
func statusLabel(i *item) string {
	if i.status == "" {
		return "refused"
	}
	return string(i.status)
}

// eventLine returns a line about a task of any client.
func eventLine(ev *model.TaskEvent, dir string) string {
	line := fmt.Sprintf("%s/%s: %s", ev.Client, ev.ID, ev.Status)
	switch {
	case ev.Error != nil && ev.Status == model.StatusPending:
		return line + ", waits before the next attempt: " + ev.Error.Message
	case ev.Error != nil:
		return line + ": " + ev.Error.Message
	case ev.Result != nil && len(ev.Result.Files) > 0:
		line += ": " + filepath.Join(dir, filepath.FromSlash(ev.Result.Files[0].Path))
		if more := len(ev.Result.Files) - 1; more > 0 {
			line += fmt.Sprintf(" and %d more", more)
		}
	}
	return line
}
