package app

import (
	"github.com/aria-cluster/dispatcher/internal/aria2rpc"
	"github.com/aria-cluster/dispatcher/internal/dispatch"
	"github.com/aria-cluster/dispatcher/internal/httpd"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// outbox is where the dispatcher's messages go: to NATS, and its events to HTTP and to
// the aria2 endpoint too. They reach these before the answer to the request that caused
// them leaves.
func (d *Daemon) outbox() dispatch.Outbox {
	return &events{Outbox: d.publisher, hub: d.hub, aria2: d.aria2}
}

type events struct {
	dispatch.Outbox
	hub   *httpd.Hub
	aria2 *aria2rpc.Server // nil if it is not configured
}

func (e *events) TaskEvent(ev *model.TaskEvent) {
	if e.aria2 != nil {
		e.aria2.TaskEvent(ev)
	}
	e.hub.TaskEvent(ev)
	e.Outbox.TaskEvent(ev)
}

func (e *events) Progress(ev *model.ProgressEvent) {
	if e.aria2 != nil {
		e.aria2.Progress(ev)
	}
	e.hub.Progress(ev)
	e.Outbox.Progress(ev)
}

func (e *events) WorkerEvent(ev *model.WorkerEvent) {
	if e.aria2 != nil {
		e.aria2.WorkerEvent(ev)
	}
	e.hub.WorkerEvent(ev)
	e.Outbox.WorkerEvent(ev)
}

// intakeBackend decides on submits of the intake; the verdicts go to HTTP too.
type intakeBackend struct {
	*dispatch.Dispatcher
	hub *httpd.Hub
}

// Verdict implements [intake.Backend].
func (b intakeBackend) Verdict(v *model.IntakeVerdict) { b.hub.IntakeVerdict(v) }
