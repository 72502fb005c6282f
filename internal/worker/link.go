package worker

import (
	"context"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// Link connects a worker with the dispatcher; bus.WorkerLink implements it. Any message
// may be lost, repeated or late: the worker repeats unanswered messages, and remembers
// the attempts that it has finished or dropped.
type Link interface {
	// Heartbeat sends a heartbeat and returns the answer. If not all tasks fit into the
	// message, it shortens h.Tasks to the tasks that it sent. An error response of the
	// dispatcher is a *model.Error: CodeConflict if another running instance has this
	// worker's name.
	Heartbeat(ctx context.Context, h *model.Heartbeat) (*model.HeartbeatAnswer, error)
	// Report sends at most model.MaxBatch reports. After an error the outcome is unknown:
	// send the reports again.
	Report(ctx context.Context, reports []model.Report) (*model.ReportAnswer, error)
	// Reachable returns nil if the NATS server is reachable now. It takes at most a
	// second.
	Reachable(ctx context.Context) error
	// Listen calls command for the dispatcher's commands, one at a time, and reconnected
	// after an outage of the connection, until stop is called. A command is acknowledged
	// when its function returns, so these must not block.
	Listen(command func(*model.Command), reconnected func()) (stop func(), err error)
}
