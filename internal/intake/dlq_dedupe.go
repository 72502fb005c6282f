package intake

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/aria-cluster/dispatcher/internal/wire"
)

// dlqIndex holds the ids of the dead letters at one time. NATS drops repeated ids for
// deadWindow only, and a message may be redelivered later: readers of the dead letters
// would then find it twice. It belongs to one goroutine.
type dlqIndex struct {
	ids map[deadID]struct{}
	at  time.Time // when reading began
	err error     // of a failed read
}

// deadID identifies a dead letter. The subject is part of it: only the dispatcher
// publishes there.
type deadID struct{ subject, msgID string }

// deadIDOf returns the id of a dead letter, which a random part of its message id does
// not change.
func deadIDOf(subject string, header nats.Header) deadID {
	return deadID{subject, baseID(header.Get(nats.MsgIdHdr))}
}

const (
	dlqReadTimeout = 10 * time.Second // limits the time for reading all dead letters
	dlqReadRetry   = 30 * time.Second // until the dead letters are read again after a failure
)

// isDeadLettered reports whether a dead letter with that id is stored, for a message
// stored at that time. NATS itself drops repeated dead letters of younger messages, and
// those stored after the last read.
func (i *Intake) isDeadLettered(id deadID, stored time.Time) (bool, error) {
	if time.Since(stored) < deadWindow/2 {
		return false, nil
	}
	index := &i.dlq
	if index.isStale(time.Now()) {
		index.at = time.Now()
		index.ids, index.err = i.readDeadIDs()
	}
	if index.err != nil {
		return false, fmt.Errorf("reading the dead letters: %w", index.err)
	}
	_, exists := index.ids[id]
	return exists, nil
}

// isStale reports whether the dead letters must be read again. A failed read delays all
// dead letters, so it is not repeated for each message.
func (d *dlqIndex) isStale(now time.Time) bool {
	if d.err != nil {
		return now.Sub(d.at) > dlqReadRetry
	}
	return d.ids == nil || now.Sub(d.at) > deadWindow/2
}

// readDeadIDs reads the ids of all dead letters. A stop ends it: the remaining messages
// are redelivered to the next dispatcher.
func (i *Intake) readDeadIDs() (map[deadID]struct{}, error) {
	ctx, cancel := context.WithTimeout(i.ctx, dlqReadTimeout)
	defer cancel()
	consumer, err := i.current().js.OrderedConsumer(ctx, i.subjects.StreamName(wire.StreamDLQ), jetstream.OrderedConsumerConfig{
		FilterSubjects: []string{i.subjects.DeadLetter("*")}, HeadersOnly: true, InactiveThreshold: dlqReadTimeout,
	})
	ids := make(map[deadID]struct{})
	if errors.Is(err, jetstream.ErrStreamNotFound) { // it is created with the first dead letter
		return ids, nil
	}
	if err != nil {
		return nil, err
	}
	if consumer.CachedInfo().NumPending == 0 {
		return ids, nil
	}
	messages, err := consumer.Messages(jetstream.PullMaxMessages(1000))
	if err != nil {
		return nil, err
	}
	defer messages.Stop()
	for {
		m, err := messages.Next(jetstream.NextContext(ctx))
		if err != nil {
			return nil, err
		}
		ids[deadIDOf(m.Subject(), m.Headers())] = struct{}{}
		if meta, err := m.Metadata(); err != nil || meta.NumPending == 0 {
			return ids, err
		}
	}
}
