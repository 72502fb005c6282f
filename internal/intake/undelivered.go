package intake

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/aria-cluster/dispatcher/internal/goroutine"
	"github.com/aria-cluster/dispatcher/internal/wire"
)

// advisory is an event of NATS about a message that it no longer delivers.
type advisory struct {
	Seq uint64 `json:"stream_seq"`
}

// undeliveredInterval is the time between two scans for messages that NATS no longer
// delivers.
const undeliveredInterval = time.Minute

// maxUndelivered limits the messages of one scan.
const maxUndelivered = 1000

// processUndelivered decides on messages that NATS no longer delivers: an operator has
// set a MaxDeliver on the consumer, has terminated them, or has narrowed its filter for a
// while. They would stay in the stream forever. Advisories may be lost, and a filter
// sends none, so it scans the stream too.
func (i *Intake) processUndelivered() {
	scan := time.NewTicker(undeliveredInterval)
	defer scan.Stop()
	on := i.current()
	stream, err := i.openStream(on) // again at each scan
	for {
		select {
		case <-i.ctx.Done():
			return
		case <-on.replaced:
			on = i.current()
			stream, err = i.openStream(on)
		case seq := <-i.undelivered:
			if err != nil {
				i.processRead(nil, err)
				continue // the scan finds it
			}
			i.processRead(i.readStream(stream, seq, 0, ""))
		case <-scan.C:
			if stream, err = i.openStream(on); err == nil {
				i.scanUndelivered(stream)
			} // receive logs the error
		}
	}
}

// openStream returns the stream.
func (i *Intake) openStream(on *intakeConn) (jetstream.Stream, error) {
	ctx, cancel := context.WithTimeout(i.ctx, streamsTimeout)
	defer cancel()
	return on.js.Stream(ctx, i.stream)
}

// subscribeAdvisory subscribes to one kind of advisories on a connection.
func (i *Intake) subscribeAdvisory(nc *nats.Conn, kind string) {
	subject := fmt.Sprintf("$JS.EVENT.ADVISORY.CONSUMER.%s.%s.*", kind, i.stream)
	sub, err := nc.Subscribe(subject, i.handleAdvisory)
	if err == nil {
		err = sub.SetPendingLimits(wire.HintMsgs, wire.HintBytes)
	}
	if err != nil {
		i.warnings.Warn("advisories are not received; undelivered messages are found by scanning", "subject", subject, "error", err)
		return
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.conn.advisories = append(i.conn.advisories, sub)
}

// advisories returns the current subscriptions to advisories.
func (i *Intake) advisories() []*nats.Subscription {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.conn.advisories
}

func (i *Intake) handleAdvisory(m *nats.Msg) {
	var a advisory
	if err := json.Unmarshal(m.Data, &a); err != nil || a.Seq == 0 {
		return
	}
	i.warnings.Warn("NATS no longer delivers a message of the intake; it is read from the stream", "seq", a.Seq, "advisory", m.Subject)
	select {
	case i.undelivered <- a.Seq:
	default: // the scan finds it
	}
}

// scanUndelivered reads the messages that the consumers have skipped: messages that
// were delivered and are not pending should be acknowledged and removed. It counts its
// reads of a message as deliveries, which limit the tries of a message that fails by a bug.
func (i *Intake) scanUndelivered(stream jetstream.Stream) {
	last := stream.CachedInfo().State.LastSeq // known before the figures of the consumers
	tries := make(map[place]uint64)
	defer func() { i.tries = tries }()
	for _, config := range consumers(i.subjects) {
		ctx, cancel := context.WithTimeout(i.ctx, streamsTimeout)
		consumer, err := stream.Consumer(ctx, config.Durable)
		cancel()
		if err != nil {
			return // receive logs the error
		}
		info := consumer.CachedInfo()
		floor := info.AckFloor.Stream
		if info.NumAckPending == 0 { // the floor moves with acknowledgements only
			floor = max(floor, info.Delivered.Stream)
			if info.NumPending == 0 { // its filter has passed over all that is left
				floor = max(floor, last)
			}
		}
		for seq, n := uint64(1), 0; n < maxUndelivered; n++ {
			l, err := i.readStream(stream, seq, floor, config.FilterSubject)
			if l != nil {
				l.delivered = i.tries[l.place] + 1
				tries[l.place] = l.delivered
			}
			i.processRead(l, err)
			if l == nil {
				break
			}
			seq = l.place.seq + 1
		}
	}
}

// readStream reads a message of the stream: the one with the sequence, or, with a limit, the
// next one of the subject up to the limit; nil if there is no such message.
func (i *Intake) readStream(stream jetstream.Stream, seq, limit uint64, subject string) (*intakeMsg, error) {
	if subject != "" && seq > limit {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(i.ctx, streamsTimeout)
	defer cancel()
	var options []jetstream.GetMsgOpt
	if subject != "" {
		options = append(options, jetstream.WithGetMsgSubject(subject))
	}
	m, err := stream.GetMsg(ctx, seq, options...)
	if errors.Is(err, jetstream.ErrMsgNotFound) || err == nil && subject != "" && m.Sequence > limit {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var l *intakeMsg
	if goroutine.Guard(i.logger, "a message of the intake panicked", func() {
		l = i.newMsg(m.Sequence, m.Time, m.Subject, m.Header, m.Data)
	}, func() []any { return []any{"seq", m.Sequence} }) {
		return nil, errPanicked
	}
	l.ack = func() error {
		ctx, cancel := context.WithTimeout(context.Background(), streamsTimeout)
		defer cancel()
		if err := stream.DeleteMsg(ctx, m.Sequence); err != nil && !errors.Is(err, jetstream.ErrMsgNotFound) {
			return err
		}
		return nil
	}
	l.nak = func(time.Duration) error { return nil } // the next scan finds it
	return l, nil
}

// errPanicked is the error of a message that cannot be read because of a bug.
var errPanicked = errors.New(goroutine.FaultText)

func (i *Intake) processRead(l *intakeMsg, err error) {
	switch {
	case err != nil && i.ctx.Err() == nil:
		i.warnings.Warn("an undelivered message of the intake could not be read", "error", err)
	case l != nil:
		i.process(&delivery{msg: l})
	}
}
