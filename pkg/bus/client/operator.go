package client

import (
	"context"

	"github.com/nats-io/nats.go"

	"github.com/aria-cluster/dispatcher/internal/wire"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// Operator reads and manages the tasks of all clients, the workers and the dead letters.
// Its NATS user needs the permissions of an operator; those of an observer are enough
// for Get, List, All, Worker, Workers, AllWorkers and Status. Errors are as those of
// [Client]. It is safe for concurrent use.
type Operator struct {
	Tasks
}

// NewOperator returns an operator. The caller closes the connection.
func NewOperator(nc *nats.Conn, list ...Option) (*Operator, error) {
	r, err := newRequests(nc, "operator", list)
	if err != nil {
		return nil, err
	}
	return &Operator{Tasks{requests: r}}, nil
}

// Status returns a summary of the cluster.
func (o *Operator) Status(ctx context.Context) (*model.ClusterStatus, error) {
	var status model.ClusterStatus
	if err := o.ask(ctx, wire.Sender{Role: wire.RoleQuery, Verb: "status"}, struct{}{}, &status); err != nil {
		return nil, err
	}
	return &status, nil
}

// Worker returns one worker.
func (o *Operator) Worker(ctx context.Context, name string) (*model.Worker, error) {
	return o.worker(ctx, wire.RoleQuery, "worker.get", name, false)
}

// Workers returns one page of workers.
func (o *Operator) Workers(ctx context.Context, q model.WorkerQuery) (*model.WorkerPage, error) {
	var page model.WorkerPage
	if err := o.ask(ctx, wire.Sender{Role: wire.RoleQuery, Verb: "worker.list"}, q, &page); err != nil {
		return nil, err
	}
	return &page, nil
}

// Drain makes a worker finish what it holds and take nothing new, and returns it.
func (o *Operator) Drain(ctx context.Context, name string) (*model.Worker, error) {
	return o.worker(ctx, wire.RoleAdmin, "worker.drain", name, false)
}

// Undrain ends the drain of a worker, and returns it.
func (o *Operator) Undrain(ctx context.Context, name string) (*model.Worker, error) {
	return o.worker(ctx, wire.RoleAdmin, "worker.resume", name, false)
}

// RemoveOption is an option of [Operator.Remove].
type RemoveOption func(*bool)

// Force makes Remove accept a worker that is alive.
func Force() RemoveOption { return func(force *bool) { *force = true } }

// Remove removes a worker that is offline, and returns it; its tasks are assigned to
// others. A worker that is alive is [ErrConflict] without [Force], and with it
// registers again with its next heartbeat.
func (o *Operator) Remove(ctx context.Context, name string, list ...RemoveOption) (*model.Worker, error) {
	force := false
	for _, apply := range list {
		apply(&force)
	}
	return o.worker(ctx, wire.RoleAdmin, "worker.remove", name, force)
}

// worker sends a request about one worker and returns the worker.
func (o *Operator) worker(ctx context.Context, role wire.Role, verb, name string, force bool) (*model.Worker, error) {
	var w model.Worker
	if err := o.ask(ctx, wire.Sender{Role: role, Verb: verb}, struct {
		ID    string `json:"id"`
		Force bool   `json:"force,omitempty"`
	}{name, force}, &w); err != nil {
		return nil, err
	}
	return &w, nil
}
