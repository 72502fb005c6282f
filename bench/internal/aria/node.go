package aria

import (
	"context"

	"github.com/nats-io/nats.go"

	"github.com/aria-cluster/dispatcher/bench/internal/queue"
)

// node is the worker of a comparison, with many downloads at once; it implements
// [queue.Worker].
type node struct {
	*Worker
}

// nodeSlots is how many jobs it holds at a time, as many as River's client.
const nodeSlots = 2000

func newNode(url string, l *queue.Ledger) (node, error) {
	nc, err := Connect(url, nats.Name("bench worker"))
	if err != nil {
		return node{}, err
	}
	return node{NewWorker(nc, WorkerOptions{Name: "bench", Slots: nodeSlots, Ledger: l})}, nil
}

// Settled implements [queue.Worker]: the answers to reports are counted.
func (n node) Settled(ctx context.Context, jobs int64) error { return n.Ledger.AwaitAcked(ctx, jobs) }
