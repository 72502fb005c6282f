package client

import (
	"cmp"
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

// Handlers are called for events. There is no subscription for a nil handler.
type Handlers struct {
	Task     func(*model.TaskEvent)     // a task's status changed; the first one is pending
	Progress func(*model.ProgressEvent) // while downloading, at most once a second for each task
	Verdict  func(*model.IntakeVerdict) // the verdict on a submission by [Client.Queue]
	Worker   func(*model.WorkerEvent)   // a worker's status changed; only of an [Operator]
}

// Watch calls the handlers, one at a time, for events of the client's tasks; of an
// [Operator], for those of all clients and workers. It receives every event of a task
// that is submitted after Watch returned, but events are hints: some may be lost, mostly
// while NATS is away, so use Get where the state matters, or [Tasks.Follow]. Unreadable
// events are reported to the connection's error handler. One call may still begin or run
// while stop returns.
func (t *Tasks) Watch(ctx context.Context, h Handlers) (stop func(), err error) {
	w, err := t.subscribe(ctx, h)
	if err != nil {
		return nil, err
	}
	return w.stop, nil
}

// subscribe subscribes to the events of the handlers. A subscription that the NATS
// server denies is a [DeniedError].
func (t *Tasks) subscribe(ctx context.Context, h Handlers) (_ *watch, err error) {
	w := &watch{nc: t.nc}
	defer func() {
		if err != nil {
			w.stop()
			err = &requestError{what: "watching the tasks of " + t.who, err: err, kind: kindOf(err)}
		}
	}()
	client := cmp.Or(t.client, "*")
	before := t.nc.LastError()
	if t.client == "" {
		err = subscribe(w, t.subjects.WorkerEvent("*", "*"), h.Worker)
	}
	if err := errors.Join(err,
		subscribe(w, t.subjects.TaskEvent(client, "*", "*"), h.Task),
		subscribe(w, t.subjects.Progress(client, "*"), h.Progress),
		subscribe(w, t.subjects.IntakeVerdict(client, "*", "*"), h.Verdict),
	); err != nil {
		return nil, err
	}
	flush, cancel := context.WithTimeout(ctx, t.timeout)
	defer cancel()
	if err := t.nc.FlushWithContext(flush); err != nil {
		return nil, err
	}
	for _, sub := range w.subs { // the server has answered, so an error has come before
		if denied := deniedSince(t.nc, before, "subscribe to", sub.Subject); denied != nil {
			return nil, denied
		}
	}
	return w, nil
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
