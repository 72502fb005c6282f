//go:build soak

package chaos

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// snapshot is the state that the dispatcher reported at one moment.
type snapshot struct {
	asked   time.Time              // all of it is from after this
	live    map[string]*model.Task // the tasks that are not terminal
	workers map[string]*model.Worker
}

// observer asks the dispatcher again and again how things are.
type observer struct {
	c     *cluster
	trace *trace

	mu      sync.Mutex
	last    *snapshot
	changed chan struct{} // closed with each new snapshot
}

func newObserver(c *cluster, tr *trace) *observer {
	return &observer{c: c, trace: tr, changed: make(chan struct{})}
}

// run observes until the context ends.
func (o *observer) run(ctx context.Context) {
	for {
		if s, err := o.ask(ctx); err == nil {
			for id, task := range s.live {
				o.trace.note(id, task.Attempt, task.WorkerID)
			}
			o.mu.Lock()
			o.last = s
			close(o.changed)
			o.changed = make(chan struct{})
			o.mu.Unlock()
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(300 * time.Millisecond): // the rate
		}
	}
}

func (o *observer) ask(ctx context.Context) (*snapshot, error) {
	s := &snapshot{asked: time.Now(), live: make(map[string]*model.Task), workers: make(map[string]*model.Worker)}
	err := list(ctx, o.c, model.ListQuery{Status: []model.Status{
		model.StatusPending, model.StatusQueued, model.StatusDownloading, model.StatusPaused,
	}}, func(t *model.Task) { s.live[t.ID] = t })
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	m, err := o.c.nc.RequestWithContext(ctx, "aria.v1.req.query.worker.list", []byte("{}"))
	if err != nil {
		return nil, err
	}
	if text := m.Header.Get("Nats-Service-Error"); text != "" {
		return nil, fmt.Errorf("worker.list: %s", text)
	}
	var page model.WorkerPage
	if err := json.Unmarshal(m.Data, &page); err != nil {
		return nil, err
	}
	for _, w := range page.Workers {
		s.workers[w.ID] = w
	}
	return s, nil
}

// list calls f for each task of the client that the query means.
func list(ctx context.Context, c *cluster, q model.ListQuery, f func(*model.Task)) error {
	q.Limit = model.MaxBatch
	for {
		ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
		page, err := c.client.List(ctx, q)
		cancel()
		if err != nil {
			return err
		}
		for _, t := range page.Tasks {
			f(t)
		}
		if q.Cursor = page.Next; q.Cursor == "" {
			return nil
		}
	}
}

// now returns the last snapshot, nil before the first.
func (o *observer) now() *snapshot {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.last
}

// until waits for a snapshot for which the condition holds.
func (o *observer) until(ctx context.Context, limit time.Duration, holds func(*snapshot) bool) bool {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for {
		o.mu.Lock()
		s, changed := o.last, o.changed
		o.mu.Unlock()
		if s != nil && holds(s) {
			return true
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return false
		}
	}
}
