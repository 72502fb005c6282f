package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/nats-io/nats.go"

	"github.com/aria-cluster/dispatcher/internal/wire"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// Handlers are called for events of a client's tasks. There is no subscription for a
// nil handler.
type Handlers struct {
	Task     func(*model.TaskEvent)     // a task's status changed; the first one is pending
	Progress func(*model.ProgressEvent) // while downloading, at most once a second for each task
	Verdict  func(*model.IntakeVerdict) // the verdict on a submission by [Client.Queue]
}

// Watch calls the handlers, one at a time. It receives every event of a task that is
// submitted after Watch returned, but events are hints: some may be lost, mostly while
// NATS is away, so use Get where the state matters. Unreadable events are reported to
// the connection's error handler. One call may still begin or run while stop returns.
func (c *Client) Watch(ctx context.Context, h Handlers) (stop func(), err error) {
	w := &watch{nc: c.nc}
	defer func() {
		if err != nil {
			w.stop()
			err = fmt.Errorf("watching the tasks of %s: %w", c.who, err)
		}
	}()
	if err := errors.Join(
		subscribe(w, c.subjects.TaskEvent(c.who, "*", "*"), h.Task),
		subscribe(w, c.subjects.Progress(c.who, "*"), h.Progress),
		subscribe(w, c.subjects.IntakeVerdict(c.who, "*", "*"), h.Verdict),
	); err != nil {
		return nil, err
	}
	flush, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	if err := c.nc.FlushWithContext(flush); err != nil {
		return nil, err
	}
	return w.stop, nil
}

// watch is a running Watch.
type watch struct {
	nc      *nats.Conn
	subs    []*nats.Subscription
	one     sync.Mutex // held while a handler is called
	stopped atomic.Bool
}

func (w *watch) stop() {
	w.stopped.Store(true)
	for _, sub := range w.subs {
		_ = sub.Unsubscribe() // it fails only if the connection is closed, which ends the subscription
	}
}

// subscribe calls handle for the events of a subject.
func subscribe[E any](w *watch, subject string, handle func(*E)) error {
	if handle == nil {
		return nil
	}
	sub, err := w.nc.Subscribe(subject, func(m *nats.Msg) {
		event := new(E)
		if err := json.Unmarshal(m.Data, event); err != nil {
			if failed := w.nc.ErrorHandler(); failed != nil {
				failed(w.nc, m.Sub, fmt.Errorf("event %s: %w", m.Subject, err))
			}
			return
		}
		w.one.Lock()
		defer w.one.Unlock()
		if !w.stopped.Load() {
			handle(event)
		}
	})
	if err != nil {
		return err
	}
	w.subs = append(w.subs, sub)
	return sub.SetPendingLimits(wire.HintMsgs, wire.HintBytes)
}
