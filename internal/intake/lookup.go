package intake

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// place is where a message is in the stream. The sequence alone does not identify it: a
// stream that was created again, or has lost its last messages, gives it to another message.
type place struct {
	seq uint64
	at  int64 // when the message was stored, in ns since 1970
}

// lookup is whether the message of a delivery is in the stream.
type lookup struct {
	done  bool
	found bool
	err   error
}

const (
	lookupTimeout = 2 * time.Second // limits a lookup; less than intakeAckWait
	maxLookups    = 64              // messages that are looked up at the same time
)

// lookUp finds out which of the messages are in the stream now. An acknowledgement names a
// sequence only, and NATS takes it for whatever message has that sequence.
func (i *Intake) lookUp(batch []*delivery) {
	if len(batch) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), lookupTimeout)
	defer cancel()
	var stream jetstream.Stream
	on, err := i.current(), nats.ErrDisconnected
	if on.nc.IsConnected() { // a request would wait for the connection
		stream, err = on.js.Stream(ctx, i.stream)
	}
	var all sync.WaitGroup
	for _, d := range batch {
		if d.lookup = (lookup{done: true, err: err}); err == nil {
			all.Go(func() { d.lookup.found, d.lookup.err = i.isStored(ctx, stream, d.msg) })
		}
	}
	all.Wait()
}

// isStored reports whether the message is in its place in the stream.
func (i *Intake) isStored(ctx context.Context, stream jetstream.Stream, l *intakeMsg) (bool, error) {
	m, err := stream.GetMsg(ctx, l.place.seq)
	if errors.Is(err, jetstream.ErrMsgNotFound) { // an earlier delivery was acknowledged
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if m.Time.UnixNano() != l.place.at {
		i.warnings.Warn("the stream of the intake has lost a message and stored another with its sequence, which is not acknowledged", "seq", l.place.seq, "client", l.client)
		return false, nil
	}
	return true, nil
}

// acknowledge removes the message from the stream, if it is there.
func (i *Intake) acknowledge(d *delivery) error { return i.change(d, d.msg.ack) }

// delay has NATS redeliver the message later, if it is in the stream.
func (i *Intake) delay(d *delivery, after time.Duration) error {
	return i.change(d, func() error { return d.msg.nak(after) })
}

// change changes the message in the stream, but no other message in its place.
func (i *Intake) change(d *delivery, do func() error) error {
	if !d.lookup.done {
		i.lookUp([]*delivery{d})
	}
	if d.lookup.err != nil || !d.lookup.found {
		return d.lookup.err
	}
	return do()
}
