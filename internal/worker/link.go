package worker

import (
	"context"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// Link is the worker's way to the dispatcher; bus.WorkerLink is the real one.
// Any message may be lost, doubled or late: the worker repeats what was not
// answered, and remembers what it has finished and dropped.
type Link interface {
	// Heartbeat says everything and returns what to do about it. Where not all tasks
	// fit into a message, it shortens h.Tasks to those that it sent. An answer of
	// the dispatcher that says no is a *model.Error: CodeConflict where another
	// living instance has this worker's name.
	Heartbeat(ctx context.Context, h *model.Heartbeat) (*model.HeartbeatAnswer, error)
	// Report says how attempts are, at most model.MaxBatch of them. For each it
	// returns nil (it counts, and is known now) or the *model.Error that refused
	// it, and which attempts to drop. An error as third means that nothing is
	// known: say it again.
	Report(ctx context.Context, reports []model.Report) (verdicts []*model.Error, drop []model.Drop, err error)
	// Reachable returns nil if a message would get as far as the NATS server now. It
	// takes a second at most.
	Reachable(ctx context.Context) error
	// Listen has assign and drop called for the dispatcher's commands, one at a
	// time, until stop is called. An assignment of nothing asks for a heartbeat. A command is acknowledged when its function
	// returns, so these are quick.
	Listen(assign func([]model.Assignment), drop func([]model.Drop)) (stop func(), err error)
}
