package natsapi

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"

	"github.com/nats-io/nats.go"

	"github.com/aria-cluster/dispatcher/internal/goroutine"
	"github.com/aria-cluster/dispatcher/internal/logthrottle"
	"github.com/aria-cluster/dispatcher/internal/wire"
	"github.com/aria-cluster/dispatcher/pkg/bus"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// Publisher sends commands to workers, and events. Its methods return no error and
// block for at most a quarter of a second, once while the connection is stuck. Each
// message may be lost: the answer of the next heartbeat, or of a get, contains the
// same. Failures are logged at a limited rate.
type Publisher struct {
	conn        *bus.Connection
	subjects    wire.Subjects
	hasInterest func(subject string) bool
	outbox      *outbox
	sendErrors  *logthrottle.Logger
	onDropped   func() // see OnEventDropped
	logger      *slog.Logger
}

// NewPublisher makes a publisher for the prefix; Run sends. hasInterest reports
// whether a subject has a subscription, as HasInterest of the embedded server does: an
// event without a subscriber is not encoded, which saves 6% of the cost of a task. If
// it is nil, as with an external server, every event is sent.
func NewPublisher(conn *bus.Connection, prefix string, hasInterest func(subject string) bool, logger *slog.Logger) (*Publisher, error) {
	subjects, err := wire.NewSubjects(prefix)
	if err != nil {
		return nil, err
	}
	if hasInterest == nil {
		hasInterest = func(string) bool { return true }
	}
	return &Publisher{conn: conn, subjects: subjects, hasInterest: hasInterest, outbox: newOutbox(), onDropped: func() {}, sendErrors: logthrottle.New(logger), logger: cmp.Or(logger, slog.New(slog.DiscardHandler))}, nil
}

// OnEventDropped has f called for each event that is not sent: too many messages wait, or
// the connection fails. Call it before the first event; f must not block.
func (p *Publisher) OnEventDropped(f func()) { p.onDropped = f }

// Run sends until ctx ends, then sends what is queued, and returns nil. The connection
// stays open; later messages are lost.
func (p *Publisher) Run(ctx context.Context) error {
	p.outbox.run(ctx)
	return nil
}

// Assign sends a worker its assignments, with the term of the leader. The command asks for
// no reply: the worker's next heartbeat confirms it.
func (p *Publisher) Assign(worker string, term int64, list []model.Assignment) {
	sendList(p, p.subjects.Assign(worker), "assign", term, list)
}

// RequestHeartbeat asks a worker for a heartbeat now: it sends an empty list of
// assignments. The dispatcher calls it after its start, because it assigns nothing to a
// worker before a heartbeat, and after an outage, when its answers may have been lost.
func (p *Publisher) RequestHeartbeat(worker string, term int64) {
	p.put(p.subjects.Assign(worker), func(nc *nats.Conn, subject string) (int, error) {
		return 0, nc.Publish(subject, wire.Command("assign", nil, term))
	})
}

// Drop orders a worker to stop assignments.
func (p *Publisher) Drop(worker string, term int64, list []model.Drop) {
	sendList(p, p.subjects.Drop(worker), "drop", term, list)
}

// TaskEvent publishes the new status of a task. A result that is too long for a message
// loses files from its end.
func (p *Publisher) TaskEvent(e *model.TaskEvent) {
	p.putEvent(p.subjects.TaskEvent(e.Client, e.ID, string(e.Status)), func(nc *nats.Conn, subject string) (int, error) {
		short := *e
		b, err := wire.EncodeShort(&short, &short.Result, wire.MaxBody(nc))
		if err != nil {
			return 0, err
		}
		return len(b), nc.Publish(subject, b)
	})
}

// WorkerEvent publishes the new status of a worker.
func (p *Publisher) WorkerEvent(e *model.WorkerEvent) {
	p.putEvent(p.subjects.WorkerEvent(e.ID, string(e.Status)), p.encodeOne(e))
}

// Progress publishes the progress of a download.
func (p *Publisher) Progress(e *model.ProgressEvent) {
	p.putEvent(p.subjects.Progress(e.Client, e.ID), p.encodeOne(e))
}

// CommitEvent publishes the number of a commit to the standbys.
func (p *Publisher) CommitEvent(e *model.CommitEvent) {
	p.putEvent(p.subjects.CommitEvent(), p.encodeOne(e))
}

// sendFunc sends one or several messages on a connection, and returns the size of the
// largest body.
type sendFunc func(nc *nats.Conn, subject string) (size int, err error)

func (p *Publisher) encodeOne(v any) sendFunc {
	return func(nc *nats.Conn, subject string) (int, error) {
		b, err := wire.Encode(v)
		if err != nil {
			return 0, err
		}
		return len(b), nc.Publish(subject, b)
	}
}

// sendList splits a list into as many messages as needed.
func sendList[T any](p *Publisher, subject, key string, term int64, list []T) {
	if len(list) == 0 {
		return
	}
	p.put(subject, func(nc *nats.Conn, subject string) (size int, err error) {
		parts := make([][]byte, len(list))
		for i, v := range list {
			if parts[i], err = wire.Encode(v); err != nil {
				return 0, err
			}
		}
		lists, skipped := wire.Chunks(parts, wire.MaxBody(nc))
		for _, l := range lists {
			body := wire.Command(key, l, term)
			size = max(size, len(body))
			if err := nc.Publish(subject, body); err != nil {
				return size, err
			}
		}
		if skipped > 0 {
			return size, fmt.Errorf("%d are larger than one message", skipped)
		}
		return size, nil
	})
}

// putEvent queues an event if its subject has a subscription.
func (p *Publisher) putEvent(subject string, send sendFunc) {
	if p.hasInterest(subject) {
		p.putOr(subject, send, p.onDropped)
	}
}

func (p *Publisher) put(subject string, send sendFunc) { p.putOr(subject, send, func() {}) }

// putOr is put that calls dropped for a message that is not sent.
func (p *Publisher) putOr(subject string, send sendFunc, dropped func()) {
	ok := p.outbox.put(func() {
		var err error
		if goroutine.Guard(p.logger, "a message panicked", func() {
			err = p.conn.Send(func(nc *nats.Conn) (int, error) { return send(nc, subject) })
		}, func() []any { return []any{"subject", subject} }) {
			dropped()
			return
		}
		if err != nil {
			dropped()
			p.sendErrors.Warn("a message could not be sent", "subject", subject, "error", err)
		}
	})
	if !ok {
		dropped()
		p.sendErrors.Warn("a message was dropped: too many wait to be sent", "subject", subject)
	}
}
