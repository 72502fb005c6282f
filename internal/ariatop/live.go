package ariatop

import (
	"context"
	"sync"
	"time"

	tea "charm.land/bubbletea/v2"

	"github.com/aria-cluster/dispatcher/pkg/bus/client"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// idleRead is how often the pages are read while no event says that they have changed:
// events are hints, and the figures of workers change without one.
const idleRead = 5 * time.Second

// live collects what events say between two ticks. It holds the progress of the tasks on
// the screen only, whatever the number of events.
type live struct {
	mu       sync.Mutex
	stop     func() // of the subscriptions; nil without events
	shown    map[string]bool
	changed  bool // a task or worker has changed
	progress map[string]*model.ProgressEvent
}

// watching is the message that the subscriptions are there.
type watching struct {
	all  bool // of all clients
	stop func()
}

// watch subscribes to the events of the tasks that are shown, and of workers.
func (s *screen) watch() tea.Cmd {
	all, l := s.all, s.live
	return func() tea.Msg {
		stop, err := s.o.Source.watch(s.ctx, all, l)
		if err != nil {
			return nil // without the permission the pages are read at each tick
		}
		return watching{all, stop}
	}
}

// watch subscribes to events. Those of workers are left out without their permission.
func (s *Source) watch(ctx context.Context, all bool, l *live) (stop func(), err error) {
	stopTasks, err := s.tasks(all).Watch(ctx, client.Handlers{Task: func(*model.TaskEvent) { l.note() }, Progress: l.onProgress})
	if err != nil {
		return nil, err
	}
	stopWorkers, err := s.Operator.Watch(ctx, client.Handlers{Worker: func(*model.WorkerEvent) { l.note() }})
	if err != nil {
		return stopTasks, nil
	}
	return func() { stopTasks(); stopWorkers() }, nil
}

// note notes that a page may have changed.
func (l *live) note() {
	l.mu.Lock()
	l.changed = true
	l.mu.Unlock()
}

func (l *live) onProgress(e *model.ProgressEvent) {
	l.mu.Lock()
	if l.shown[e.ID] {
		l.progress[e.ID] = e
	}
	l.mu.Unlock()
}

// use replaces the subscriptions; nil ends them.
func (l *live) use(stop func()) {
	l.mu.Lock()
	old := l.stop
	l.stop, l.changed = stop, true // what happened before them is unknown
	l.mu.Unlock()
	if old != nil {
		old()
	}
}

// show says which tasks are on the screen now.
func (l *live) show(tasks []*model.Task) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.shown, l.progress = make(map[string]bool, len(tasks)), make(map[string]*model.ProgressEvent)
	for _, t := range tasks {
		l.shown[t.ID] = true
	}
}

// begin says that the pages are read now, so what has changed before is known.
func (l *live) begin() {
	l.mu.Lock()
	l.changed = false
	l.mu.Unlock()
}

// apply updates the progress of the tasks, and reports whether the pages must be read.
func (l *live) apply(tasks []*model.Task, unread time.Duration) (read bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, t := range tasks {
		if e := l.progress[t.ID]; e != nil && e.Attempt == t.Attempt && !t.Status.Terminal() {
			next := *t
			next.Progress, next.CompletedLength, next.TotalLength, next.DownloadSpeed = e.Progress, e.CompletedLength, e.TotalLength, e.DownloadSpeed
			tasks[i] = &next
		}
	}
	clear(l.progress)
	return l.stop == nil || l.changed || unread >= idleRead
}
