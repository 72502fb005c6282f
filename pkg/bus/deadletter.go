package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Headers of a dead letter.
const (
	headerError   = "Aria-Error"      // why it can never be accepted, one sentence
	headerCode    = "Aria-Error-Code" // of the contract, such as 400
	headerStream  = "Aria-Stream"     // where it was
	headerSeq     = "Aria-Sequence"   // its sequence there
	headerTime    = "Aria-Time"       // when it was stored there
	headerSubject = "Aria-Subject"    // where it was sent to
	headerMsgID   = "Aria-Msg-Id"     // its own Nats-Msg-Id
)

// maxMsgID bounds what is repeated of a Nats-Msg-Id, in bytes.
const maxMsgID = 256

// bury puts messages that can never be accepted among the dead letters, and only
// then tells the verdict and acknowledges them. It runs in one goroutine.
func (i *Intake) bury() {
	for {
		select {
		case <-i.quit:
			return
		case d := <-i.dead:
			if err := i.publishDead(&d); err != nil {
				i.troubles.warn("a dead letter could not be stored; its message comes again", "seq", d.letter.seq, "client", d.client, "error", err)
				i.report(&d, d.letter.nak(lastNak))
			} else {
				i.finish(&d)
			}
			i.end(d.letter)
		}
	}
}

// lastNak is how long a message rests that could not be put among the dead letters.
const lastNak = 5 * time.Second

func (i *Intake) publishDead(d *decision) error {
	ctx, cancel := context.WithTimeout(context.Background(), streamsTimeout)
	defer cancel()
	publish := func() error {
		_, err := i.js.PublishMsg(ctx, i.deadLetter(d),
			jetstream.WithExpectStream(i.subjects.StreamName(streamDLQ)), jetstream.WithRetryAttempts(0))
		return err
	}
	err := publish()
	if errors.Is(err, jetstream.ErrNoStreamResponse) { // somebody has removed it
		if err = EnsureStreams(ctx, i.nc, i.options); err == nil {
			err = publish()
		}
	}
	return err
}

// deadLetter is the message as it came, with the reason. Its id is its place in
// the stream: however often it is buried, it is there once.
func (i *Intake) deadLetter(d *decision) *nats.Msg {
	l := d.letter
	header := nats.Header{}
	for name, values := range l.header {
		// Nats- headers are orders to the stream, not part of what was sent.
		if lower := strings.ToLower(name); !strings.HasPrefix(lower, "nats-") && !strings.HasPrefix(lower, "aria-") {
			header[name] = values
		}
	}
	header.Set(nats.MsgIdHdr, fmt.Sprintf("%s:%d:%d", i.stream, l.seq, l.at.UnixNano()))
	header.Set(headerError, headerText(d.answer.Err.Message))
	header.Set(headerCode, strconv.Itoa(int(d.answer.Err.Code)))
	header.Set(headerStream, i.stream)
	header.Set(headerSeq, strconv.FormatUint(l.seq, 10))
	header.Set(headerTime, l.at.UTC().Format(time.RFC3339Nano))
	header.Set(headerSubject, l.subject)
	if id := clean(l.header.Get(nats.MsgIdHdr), maxMsgID); id != "" {
		header.Set(headerMsgID, id)
	}
	return &nats.Msg{Subject: i.subjects.DeadLetter(d.client), Header: header, Data: l.data}
}

// clean makes a text fit for a header or an event.
func clean(s string, limit int) string {
	if s == "" {
		return ""
	}
	return headerText(s[:min(len(s), limit)])
}

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
	for _, kind := range []string{"MAX_DELIVERIES", "MSG_TERMINATED"} {
		subject := fmt.Sprintf("$JS.EVENT.ADVISORY.CONSUMER.%s.%s.%s", kind, i.stream, intakeConsumer)
		sub, err := i.nc.Subscribe(subject, i.advised)
		if err == nil {
			defer func() { _ = sub.Unsubscribe() }() // it fails only where the connection is gone
			err = sub.SetPendingLimits(hintMsgs, hintBytes)
		}
		if err != nil {
			i.troubles.warn("the intake does not hear of stuck messages, it looks for them", "subject", subject, "error", err)
		}
	}
	look := time.NewTicker(rescueEvery)
	defer look.Stop()
	for {
		select {
		case <-i.ctx.Done():
			return
		case seq := <-i.stuck:
			i.rescued(i.fetch(seq, 0))
		case <-look.C:
			i.lookForStuck()
		}
	}
}

func (i *Intake) advised(m *nats.Msg) {
	var a advisory
	if err := json.Unmarshal(m.Data, &a); err != nil || a.Seq == 0 {
		return
	}
	i.logger.Warn("NATS sends a message of the intake no more; it is fetched", "seq", a.Seq, "advisory", m.Subject)
	select {
	case i.stuck <- a.Seq:
	default: // it is found by looking
	}
}

// lookForStuck fetches the messages before the consumer's floor: all of them are
// acknowledged, so that none should be there.
func (i *Intake) lookForStuck() {
	ctx, cancel := context.WithTimeout(i.ctx, streamsTimeout)
	defer cancel()
	consumer, err := i.js.Consumer(ctx, i.stream, intakeConsumer)
	if err != nil {
		return // run tells it
	}
	floor := consumer.CachedInfo().AckFloor.Stream
	for seq, n := uint64(1), 0; n < rescueMost; n++ {
		l, err := i.fetch(seq, floor)
		if l == nil {
			i.rescued(nil, err)
			return
		}
		i.rescued(l, nil)
		seq = l.seq + 1
	}
}

// fetch reads a message of the stream: that of the sequence, or, with a limit, the
// next one up to it; nil if there is none.
func (i *Intake) fetch(seq, limit uint64) (*letter, error) {
	if limit > 0 && seq > limit {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(i.ctx, streamsTimeout)
	defer cancel()
	stream, err := i.js.Stream(ctx, i.stream)
	if err != nil {
		return nil, err
	}
	var options []jetstream.GetMsgOpt
	if limit > 0 {
		options = append(options, jetstream.WithGetMsgSubject(i.subjects.Intake("*")))
	}
	m, err := stream.GetMsg(ctx, seq, options...)
	if errors.Is(err, jetstream.ErrMsgNotFound) || err == nil && limit > 0 && m.Sequence > limit {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return &letter{
		seq: m.Sequence, at: m.Time, delivered: 1, subject: m.Subject, header: m.Header, data: m.Data,
		ack: func() error {
			ctx, cancel := context.WithTimeout(context.Background(), streamsTimeout)
			defer cancel()
			if err := stream.DeleteMsg(ctx, m.Sequence); err != nil && !errors.Is(err, jetstream.ErrMsgNotFound) {
				return err
			}
			return nil
		},
		nak: func(time.Duration) error { return nil }, // the next look finds it
	}, nil
}

func (i *Intake) rescued(l *letter, err error) {
	switch {
	case err != nil && i.ctx.Err() == nil:
		i.troubles.warn("a stuck message of the intake could not be fetched", "error", err)
	case l != nil:
		i.decide(l)
	}
}
