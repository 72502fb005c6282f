package api

import (
	"context"

	"github.com/aria-cluster/dispatcher/internal/engine"
	"github.com/aria-cluster/dispatcher/internal/transfer"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// Backend decides on requests; internal/dispatch implements it.
type Backend interface {
	// Do accepts the operations of one message. It never blocks: when the inbox is full
	// it returns an error of CodeUnavailable and nothing is accepted. Otherwise it
	// calls done exactly once, after the commit of the last operation, with an answer
	// for each in order; done must not block for long.
	Do(ops []engine.Event, done func([]engine.Answer)) *model.Error

	// Task returns one task with its live progress. A task of another client than the
	// given one (empty: any) is CodeNotFound.
	Task(ctx context.Context, client, id string) (*model.Task, error)
	// Tasks returns one page of a validated query.
	Tasks(ctx context.Context, q *model.ListQuery) (*model.TaskPage, error)
	// Worker returns one worker, or CodeNotFound.
	Worker(ctx context.Context, id string) (*model.Worker, error)
	// Workers returns one page of a validated query.
	Workers(ctx context.Context, q *model.WorkerQuery) (*model.WorkerPage, error)
	// Status returns a summary of the system.
	Status(ctx context.Context) (*model.ClusterStatus, error)

	transfer.Backend
}
