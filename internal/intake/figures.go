package intake

import (
	"context"
	"sync/atomic"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/aria-cluster/dispatcher/internal/wire"
)

// Figures is what waits in the streams.
type Figures struct {
	Pending     uint64 // messages without a decision, without the parked ones
	Parked      uint64 // messages above the limits of their client
	DeadLetters uint64
}

// counts holds the figures as of the last look.
type counts struct{ pending, parked, deadLetters atomic.Uint64 }

// Figures returns what waited in the streams when they were last looked at: after a
// start and every 15 s, so a scrape sends no request. It is zero before the first look.
func (i *Intake) Figures() Figures {
	return Figures{Pending: i.counts.pending.Load(), Parked: i.counts.parked.Load(), DeadLetters: i.counts.deadLetters.Load()}
}

// updateCounts stores what a consumer has to deliver or to acknowledge, and the number of dead
// letters. If that cannot be read, the last number stays.
func (i *Intake) updateCounts(ctx context.Context, on *intakeConn, info *jetstream.ConsumerInfo) {
	n := info.NumPending + uint64(max(info.NumAckPending, 0))
	if info.Name == parkedConsumer {
		i.counts.parked.Store(n)
	} else {
		i.counts.pending.Store(n)
	}
	if stream, err := on.js.Stream(ctx, i.subjects.StreamName(wire.StreamDLQ)); err == nil {
		i.counts.deadLetters.Store(stream.CachedInfo().State.Msgs)
	}
}
