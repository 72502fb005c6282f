package intake

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/aria-cluster/dispatcher/internal/wire"
)

// advisory is what NATS says of a message that it sends no more.
type advisory struct {
	Seq uint64 `json:"stream_seq"`
}

// undeliveredInterval is how often is looked for messages that NATS sends no more.
const undeliveredInterval = time.Minute

// maxUndelivered bounds the messages of one look.
const maxUndelivered = 1000

// decideUndelivered decides on messages that NATS will not send again: somebody gave the
// consumer a MaxDeliver, or terminated them. They would be in the stream for
// ever. What is said about them may be lost, so it also looks for itself.
func (i *Intake) decideUndelivered() {
	look := time.NewTicker(undeliveredInterval)
	defer look.Stop()
	on := i.current()
	stream, err := i.openStream(on) // asked for once in rescueEvery
	for {
		select {
		case <-i.ctx.Done():
			return
		case <-on.replaced:
			on = i.current()
			stream, err = i.openStream(on)
		case seq := <-i.undelivered:
			if err != nil {
				i.decideFetched(nil, err)
				continue // it is found by looking
			}
			i.decideFetched(i.fetch(stream, seq, 0, ""))
		case <-look.C:
			if stream, err = i.openStream(on); err == nil {
				i.scanUndelivered(stream)
			} // else run tells it
		}
	}
}

// openStream asks for the stream.
func (i *Intake) openStream(on *intakeConn) (jetstream.Stream, error) {
	ctx, cancel := context.WithTimeout(i.ctx, streamsTimeout)
	defer cancel()
	return on.js.Stream(ctx, i.stream)
}

// subscribeAdvisory subscribes to a kind of advisories on a connection.
func (i *Intake) subscribeAdvisory(nc *nats.Conn, kind string) {
	subject := fmt.Sprintf("$JS.EVENT.ADVISORY.CONSUMER.%s.%s.*", kind, i.stream)
	sub, err := nc.Subscribe(subject, i.handleAdvisory)
	if err == nil {
		err = sub.SetPendingLimits(wire.HintMsgs, wire.HintBytes)
	}
	if err != nil {
		i.warnings.Warn("the intake does not hear of stuck messages, it looks for them", "subject", subject, "error", err)
		return
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.conn.advisories = append(i.conn.advisories, sub)
}

// advisories returns the subscriptions to advisories that are open now.
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
	i.warnings.Warn("NATS sends a message of the intake no more; it is fetched", "seq", a.Seq, "advisory", m.Subject)
	select {
	case i.undelivered <- a.Seq:
	default: // it is found by looking
	}
}

// scanUndelivered fetches the messages that the consumers have left behind: those
// that they have delivered and wait for no longer are acknowledged, so that none
// should be there.
func (i *Intake) scanUndelivered(stream jetstream.Stream) {
	for _, config := range consumers(i.subjects) {
		ctx, cancel := context.WithTimeout(i.ctx, streamsTimeout)
		consumer, err := stream.Consumer(ctx, config.Durable)
		cancel()
		if err != nil {
			return // run tells it
		}
		info := consumer.CachedInfo()
		floor := info.AckFloor.Stream
		if info.NumAckPending == 0 { // the floor itself moves with acknowledgements only
			floor = max(floor, info.Delivered.Stream)
		}
		for seq, n := uint64(1), 0; n < maxUndelivered; n++ {
			l, err := i.fetch(stream, seq, floor, config.FilterSubject)
			i.decideFetched(l, err)
			if l == nil {
				break
			}
			seq = l.streamSeq + 1
		}
	}
}

// fetch reads a message of the stream: that of the sequence, or, with a limit, the
// next one of the subject up to it; nil if there is none.
func (i *Intake) fetch(stream jetstream.Stream, seq, limit uint64, subject string) (*intakeMsg, error) {
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
	l := i.newMsg(m.Sequence, m.Time, m.Subject, m.Header, m.Data)
	l.ack = func() error {
		ctx, cancel := context.WithTimeout(context.Background(), streamsTimeout)
		defer cancel()
		if err := stream.DeleteMsg(ctx, m.Sequence); err != nil && !errors.Is(err, jetstream.ErrMsgNotFound) {
			return err
		}
		return nil
	}
	l.nak = func(time.Duration) error { return nil } // the next look finds it
	return l, nil
}

func (i *Intake) decideFetched(l *intakeMsg, err error) {
	switch {
	case err != nil && i.ctx.Err() == nil:
		i.warnings.Warn("a stuck message of the intake could not be fetched", "error", err)
	case l != nil:
		i.decide(l)
	}
}
