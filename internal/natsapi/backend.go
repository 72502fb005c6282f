package natsapi

import (
	"context"

	"github.com/aria-cluster/dispatcher/internal/engine"
	"github.com/aria-cluster/dispatcher/internal/transfer"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// Backend is what the service asks; internal/dispatch implements it.
type Backend interface {
	// Do takes in the operations of one message. It never blocks: when the inbox
	// is full it returns an error of CodeUnavailable and nothing was taken in.
	// Otherwise done is called exactly once, after the commit of the last one,
	// with an answer for each in order; it must not block for long.
	Do(ops []engine.Event, done func([]model.Answer)) *model.Error

	// Task returns one task with its live progress; of another client than the
	// given one (empty: any) it is CodeNotFound.
	Task(ctx context.Context, client, id string) (*model.Task, error)
	// Tasks returns one page; the query has been validated.
	Tasks(ctx context.Context, q *model.ListQuery) (*model.TaskPage, error)
	// Worker returns one worker, or CodeNotFound.
	Worker(ctx context.Context, id string) (*model.Worker, error)
	// Workers returns one page; the query has been validated.
	Workers(ctx context.Context, q *model.WorkerQuery) (*model.WorkerPage, error)
	// Status returns the system in a few numbers.
	Status(ctx context.Context) (*model.ClusterStatus, error)

	transfer.Backend
}
