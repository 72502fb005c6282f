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

// dlqIndex is what was among the dead letters at a time, by their ids. NATS knows
// an id for deadWindow only, and a message may come again after that: somebody who
// reads the dead letters would then find it twice. It belongs to one goroutine.
type dlqIndex struct {
	ids map[string]struct{}
	at  time.Time // when looking at them began
	err error     // of a look that was in vain
}

const (
	dlqReadTimeout = 10 * time.Second // bounds the reading of all dead letters
	dlqReadRetry   = 30 * time.Second // before they are looked at again that could not be read
)

// isDeadLettered reports whether the letter of that id, of a message stored at that time, is
// among the dead ones already. Of a younger message NATS knows it by itself, and
// also of a letter that was put there after the last look.
func (i *Intake) isDeadLettered(id string, stored time.Time) (bool, error) {
	if time.Since(stored) < deadWindow/2 {
		return false, nil
	}
	g := &i.dlq
	if g.isStale(time.Now()) {
		g.at = time.Now()
		g.ids, g.err = i.readDeadIDs()
	}
	if g.err != nil {
		return false, fmt.Errorf("reading the dead letters: %w", g.err)
	}
	_, there := g.ids[id]
	return there, nil
}

// isStale reports whether it is time for a look. Who waits for one that is in vain
// holds up all that is to be put aside, so it is not tried for each message.
func (g *dlqIndex) isStale(now time.Time) bool {
	if g.err != nil {
		return now.Sub(g.at) > dlqReadRetry
	}
	return g.ids == nil || now.Sub(g.at) > deadWindow/2
}

// readDeadIDs reads the ids of all dead letters. A stop ends it: what could not be put
// aside then comes again to the next dispatcher.
func (i *Intake) readDeadIDs() (map[string]struct{}, error) {
	ctx, cancel := context.WithTimeout(i.ctx, dlqReadTimeout)
	defer cancel()
	consumer, err := i.current().js.OrderedConsumer(ctx, i.subjects.StreamName(wire.StreamDLQ), jetstream.OrderedConsumerConfig{
		FilterSubjects: []string{i.subjects.DeadLetter("*")}, HeadersOnly: true, InactiveThreshold: dlqReadTimeout,
	})
	ids := make(map[string]struct{})
	if errors.Is(err, jetstream.ErrStreamNotFound) { // it is made when there is a letter
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
		ids[m.Headers().Get(nats.MsgIdHdr)] = struct{}{}
		if meta, err := m.Metadata(); err != nil || meta.NumPending == 0 {
			return ids, err
		}
	}
}
