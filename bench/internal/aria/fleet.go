package aria

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"

	"github.com/aria-cluster/dispatcher/bench/internal/queue"
)

// The fleet of a comparison: a few nodes with many downloads at once.
const (
	fleetWorkers = 4
	fleetSlots   = 500
)

// fleet is a process of workers, each with its own connection; it implements
// [queue.Worker].
type fleet struct {
	ledger  *queue.Ledger
	workers []*Worker
}

func newFleet(url string, l *queue.Ledger, batch bool) (*fleet, error) {
	f := &fleet{ledger: l}
	for i := range fleetWorkers {
		nc, err := nats.Connect(url, nats.Name("bench worker"))
		if err != nil {
			return nil, err
		}
		f.workers = append(f.workers, NewWorker(nc, WorkerOptions{
			Name: fmt.Sprintf("bench-%d", i), Slots: fleetSlots, Ledger: l, Batch: batch,
		}))
	}
	return f, nil
}

// Start implements [queue.Worker].
func (f *fleet) Start(ctx context.Context) error {
	var errs []error
	for _, w := range f.workers {
		errs = append(errs, w.Start(ctx))
	}
	return errors.Join(errs...)
}

// Settled implements [queue.Worker]: the answers to reports are counted.
func (f *fleet) Settled(ctx context.Context, n int64) error { return f.ledger.AwaitAcked(ctx, n) }
