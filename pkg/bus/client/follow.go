package client

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// Change is a new state of a followed task.
type Change struct {
	ID       string
	Task     *model.Task
	Progress bool         // only the progress has changed
	Err      *model.Error // instead of a task, such as CodeNotFound
}

// FollowOption is an option of [Tasks.Follow] and [Tasks.WaitFor].
type FollowOption func(*Follower)

// WithProgress reports progress too, at most about once a second for each task.
func WithProgress() FollowOption { return func(f *Follower) { f.progress = true } }

// WithEveryTask follows every task that changes, in addition to those of Add.
func WithEveryTask() FollowOption { return func(f *Follower) { f.every = true } }

// The times of a Follower.
const (
	resyncBase = 5 * time.Second        // until all tasks are read again
	resyncEach = 500 * time.Microsecond // more for each task
	lostWait   = time.Second            // until a failed read is repeated
	lostLimit  = time.Minute            // of failed reads, until the error is reported
)

// Follower reports the changes of tasks. Events tell it which tasks to read again, and
// it reads all of them from time to time, so that a lost event delays a change and loses
// none. Of several changes in a short time it may report only the last one.
//
// Add and NoMore may be called by any goroutine, Changes by one.
type Follower struct {
	tasks           *Tasks
	watch           *watch
	progress, every bool
	wake            chan struct{}

	mu       sync.Mutex
	open     map[string]*model.Task // what is followed, and its last state; nil at first
	dirty    map[string]bool        // what is to be read
	latest   map[string]*model.ProgressEvent
	noMore   bool
	answered bool // a read has succeeded
}

// Follow begins to follow tasks: those that are given to Add. Call Close at the end.
func (t *Tasks) Follow(ctx context.Context, list ...FollowOption) (*Follower, error) {
	f := &Follower{
		tasks: t, wake: make(chan struct{}, 1),
		open: make(map[string]*model.Task), dirty: make(map[string]bool), latest: make(map[string]*model.ProgressEvent),
	}
	for _, apply := range list {
		apply(f)
	}
	h := Handlers{Task: f.onTask}
	if f.progress {
		h.Progress = f.onProgress
	}
	var err error
	if f.watch, err = t.subscribe(ctx, h); err != nil {
		return nil, err
	}
	return f, nil
}

// Close ends the subscriptions.
func (f *Follower) Close() { f.watch.stop() }

// Add adds tasks.
func (f *Follower) Add(ids ...string) {
	f.mu.Lock()
	for _, id := range ids {
		f.markNew(id)
	}
	f.mu.Unlock()
	f.signal()
}

// markNew adds one task, if it is new.
func (f *Follower) markNew(id string) {
	if _, ok := f.open[id]; !ok {
		f.open[id], f.dirty[id] = nil, true
	}
}

// NoMore makes Changes end when all tasks that were added are terminal.
func (f *Follower) NoMore() {
	f.mu.Lock()
	f.noMore = true
	f.mu.Unlock()
	f.signal()
}

func (f *Follower) signal() {
	select {
	case f.wake <- struct{}{}:
	default: // it is awake
	}
}

func (f *Follower) onTask(e *model.TaskEvent) {
	f.note(e.ID, func() { f.dirty[e.ID] = true })
}

func (f *Follower) onProgress(e *model.ProgressEvent) {
	f.note(e.ID, func() { f.latest[e.ID] = e })
}

// note notes an event of a task, if the task is followed.
func (f *Follower) note(id string, mark func()) {
	f.mu.Lock()
	if f.every {
		f.markNew(id)
	}
	_, ok := f.open[id]
	if ok {
		mark()
	}
	f.mu.Unlock()
	if ok {
		f.signal()
	}
}

// Changes returns the changes of the tasks, the first one being the current state, until
// all are terminal and NoMore was called. A dispatcher that cannot be reached for a
// while is asked again for up to a minute, unless it has never answered. It ends after
// an error.
func (f *Follower) Changes(ctx context.Context) iter.Seq2[Change, error] {
	return func(yield func(Change, error) bool) {
		resync := time.NewTimer(resyncBase)
		defer resync.Stop()
		for {
			ok, err := f.report(ctx, yield)
			if err != nil {
				yield(Change{}, err)
			}
			if !ok || err != nil {
				return
			}
			select {
			case <-ctx.Done():
				yield(Change{}, fmt.Errorf("following tasks: %w", context.Cause(ctx)))
				return
			case <-f.wake:
			case <-resync.C:
				resync.Reset(resyncBase + resyncEach*time.Duration(f.markAll()))
			}
		}
	}
}

// markAll marks all tasks to be read, and returns their number.
func (f *Follower) markAll() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	for id := range f.open {
		f.dirty[id] = true
	}
	return len(f.open)
}

// report reports what has changed; it returns false at the end.
func (f *Follower) report(ctx context.Context, yield func(Change, error) bool) (bool, error) {
	for {
		ids, progress, ended := f.take()
		if ended {
			return false, nil
		}
		for _, c := range progress {
			if !yield(c, nil) {
				return false, nil
			}
		}
		if len(ids) == 0 {
			return true, nil
		}
		found, err := f.read(ctx, ids)
		if err != nil {
			return false, err
		}
		for _, l := range found {
			if c, changed := f.apply(l); changed && !yield(c, nil) {
				return false, nil
			}
		}
	}
}

// take returns what is to be read, at most one batch, and the progress to report.
func (f *Follower) take() (ids []string, progress []Change, ended bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for id, e := range f.latest {
		if task := f.open[id]; task != nil && task.Attempt == e.Attempt && !f.dirty[id] {
			next := *task
			next.Progress, next.CompletedLength, next.TotalLength, next.DownloadSpeed = e.Progress, e.CompletedLength, e.TotalLength, e.DownloadSpeed
			f.open[id] = &next
			progress = append(progress, Change{ID: id, Task: &next, Progress: true})
		}
	}
	clear(f.latest)
	ids = slices.Sorted(maps.Keys(f.dirty))
	ids = ids[:min(len(ids), model.MaxBatch)]
	for _, id := range ids {
		delete(f.dirty, id)
	}
	return ids, progress, f.noMore && len(f.open) == 0
}

// read reads tasks, and waits for a dispatcher that is away.
func (f *Follower) read(ctx context.Context, ids []string) ([]lookup, error) {
	began := time.Now()
	for {
		found, err := f.tasks.getMany(ctx, ids)
		f.mu.Lock()
		f.answered = f.answered || err == nil
		again := f.answered && passes(err) && time.Since(began) < lostLimit
		f.mu.Unlock()
		if err == nil || ctx.Err() != nil || !again {
			return found, err
		}
		select {
		case <-ctx.Done():
		case <-time.After(lostWait):
		}
	}
}

// passes reports whether an error may pass by itself. A closed connection does not reconnect.
func passes(err error) bool {
	return !errors.Is(err, nats.ErrConnectionClosed) && slices.ContainsFunc([]error{ErrTryAgain, ErrNoDispatcher, ErrNoAnswer, ErrDisconnected},
		func(kind error) bool { return errors.Is(err, kind) })
}

// apply takes over what was read, and returns whether that is a change.
func (f *Follower) apply(l lookup) (Change, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	last, ok := f.open[l.ID]
	switch {
	case !ok:
		return Change{}, false // reported as terminal already
	case l.Err != nil:
		delete(f.open, l.ID)
		return Change{ID: l.ID, Err: l.Err}, true
	}
	f.open[l.ID] = l.Task
	if l.Task.Status.Terminal() {
		delete(f.open, l.ID)
	}
	changed := last == nil || last.Status != l.Task.Status || last.Attempt != l.Task.Attempt || last.WorkerID != l.Task.WorkerID ||
		last.Failures != l.Task.Failures || last.Reason != l.Task.Reason
	return Change{ID: l.ID, Task: l.Task}, changed
}

// WaitFor returns each task when it is terminal, in the order of their ends. The error
// of a single task, such as [ErrNotFound], comes in its place, and the others continue;
// after any other error it ends. It misses nothing: events only make it quicker.
func (t *Tasks) WaitFor(ctx context.Context, ids []string, list ...FollowOption) iter.Seq2[*model.Task, error] {
	return func(yield func(*model.Task, error) bool) {
		f, err := t.Follow(ctx, list...)
		if err != nil {
			yield(nil, err)
			return
		}
		defer f.Close()
		f.Add(ids...)
		f.NoMore()
		for c, err := range f.Changes(ctx) {
			switch {
			case err != nil:
			case c.Err != nil:
				err = &requestError{what: "waiting for " + c.ID, err: c.Err, kind: kindOf(c.Err)}
			case !c.Task.Status.Terminal():
				continue
			}
			if !yield(c.Task, err) {
				return
			}
		}
	}
}
