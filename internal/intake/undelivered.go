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

// rescueEvery is how often is looked for messages that NATS sends no more.
const rescueEvery = time.Minute

// rescueMost bounds the messages of one look.
const rescueMost = 1000

// rescue decides on messages that NATS will not send again: somebody gave the
// consumer a MaxDeliver, or terminated them. They would be in the stream for
// ever. What is said about them may be lost, so it also looks for itself.
func (i *Intake) rescue() {
	look := time.NewTicker(rescueEvery)
	defer look.Stop()
	on := i.current()
	stream, err := i.open(on) // asked for once in rescueEvery
	for {
		select {
		case <-i.ctx.Done():
			return
		case <-on.replaced:
			on = i.current()
			stream, err = i.open(on)
		case seq := <-i.stuck:
			if err != nil {
				i.rescued(nil, err)
				continue // it is found by looking
			}
			i.rescued(i.fetch(stream, seq, 0, ""))
		case <-look.C:
			if stream, err = i.open(on); err == nil {
				i.lookForStuck(stream)
			} // else run tells it
		}
	}
}

// open asks for the stream.
func (i *Intake) open(on *intakeConn) (jetstream.Stream, error) {
	ctx, cancel := context.WithTimeout(i.ctx, streamsTimeout)
	defer cancel()
	return on.js.Stream(ctx, i.stream)
}

// hear subscribes to a kind of advisories on a connection.
func (i *Intake) hear(nc *nats.Conn, kind string) {
	subject := fmt.Sprintf("$JS.EVENT.ADVISORY.CONSUMER.%s.%s.*", kind, i.stream)
	sub, err := nc.Subscribe(subject, i.advised)
	if err == nil {
		err = sub.SetPendingLimits(wire.HintMsgs, wire.HintBytes)
	}
	if err != nil {
		i.troubles.Warn("the intake does not hear of stuck messages, it looks for them", "subject", subject, "error", err)
		return
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.on.advisories = append(i.on.advisories, sub)
}

// advisories returns the subscriptions to advisories that are open now.
func (i *Intake) advisories() []*nats.Subscription {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.on.advisories
}

func (i *Intake) advised(m *nats.Msg) {
	var a advisory
	if err := json.Unmarshal(m.Data, &a); err != nil || a.Seq == 0 {
		return
	}
	i.troubles.Warn("NATS sends a message of the intake no more; it is fetched", "seq", a.Seq, "advisory", m.Subject)
	select {
	case i.stuck <- a.Seq:
	default: // it is found by looking
	}
}

// lookForStuck fetches the messages that the consumers have left behind: those
// that they have delivered and wait for no longer are acknowledged, so that none
// should be there.
func (i *Intake) lookForStuck(stream jetstream.Stream) {
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
		for seq, n := uint64(1), 0; n < rescueMost; n++ {
			l, err := i.fetch(stream, seq, floor, config.FilterSubject)
			i.rescued(l, err)
			if l == nil {
				break
			}
			seq = l.place + 1
		}
	}
}

// fetch reads a message of the stream: that of the sequence, or, with a limit, the
// next one of the subject up to it; nil if there is none.
func (i *Intake) fetch(stream jetstream.Stream, seq, limit uint64, subject string) (*letter, error) {
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
	l := i.letter(m.Sequence, m.Time, m.Subject, m.Header, m.Data)
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

func (i *Intake) rescued(l *letter, err error) {
	switch {
	case err != nil && i.ctx.Err() == nil:
		i.troubles.Warn("a stuck message of the intake could not be fetched", "error", err)
	case l != nil:
		i.decide(l)
	}
}
