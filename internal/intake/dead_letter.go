package intake

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/aria-cluster/dispatcher/internal/wire"
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
	headerOrigin  = "Aria-Origin"     // of a parked message only: its first sequence, and the time
)

// maxMsgID bounds what is repeated of a Nats-Msg-Id, in bytes.
const maxMsgID = 256

// divert stores messages in another place: what can never be accepted among the
// dead letters, what is past its client's limits behind all that is parked. Only
// then are they acknowledged where they were. It runs in one goroutine.
func (i *Intake) divert() {
	for {
		select {
		case <-i.quit:
			return
		case d := <-i.diverted:
			i.withRecovery(&d, i.divertOne)
			i.release(d.msg)
		}
	}
}

func (i *Intake) divertOne(d *decision) {
	if !d.isClientLimit() {
		if err := i.publishDeadLetter(d); err != nil {
			i.warnings.Warn("a dead letter could not be stored; its message comes again", "seq", d.msg.seq, "client", d.msg.client, "error", err)
			i.logAckError(d, d.msg.nak(divertDelay))
			return
		}
		i.finish(d)
		return
	}
	if d.msg.parked && d.msg.delivered == 1 {
		i.logAckError(d, d.msg.nak(divertDelay)) // once where it is, and then behind the others
		return
	}
	if err := i.publish(wire.StreamIntake, i.parkedMsg(d.msg)); err != nil {
		i.warnings.Warn("a message past its client's limits could not be parked", "seq", d.msg.seq, "client", d.msg.client, "error", err)
		i.logAckError(d, d.msg.nak(divertDelay))
		return
	}
	i.logAckError(d, d.msg.ack())
}

// publishDeadLetter puts a message among the dead letters, once.
func (i *Intake) publishDeadLetter(d *decision) error {
	m := i.newDeadLetter(d)
	there, err := i.isDeadLettered(m.Header.Get(nats.MsgIdHdr), d.msg.at)
	if err != nil || there {
		return err
	}
	return i.publish(wire.StreamDLQ, m)
}

// divertDelay is how long a message rests that is parked, or could not be put aside.
const divertDelay = 5 * time.Second

// publish stores a message and returns when the stream has it.
func (i *Intake) publish(kind string, m *nats.Msg) error {
	ctx, cancel := context.WithTimeout(context.Background(), streamsTimeout)
	defer cancel()
	on := i.current()
	publish := func() error {
		_, err := on.js.PublishMsg(ctx, m, jetstream.WithExpectStream(i.subjects.StreamName(kind)), jetstream.WithRetryAttempts(0))
		return err
	}
	err := publish()
	if errors.Is(err, jetstream.ErrNoStreamResponse) { // somebody has removed it
		if err = EnsureStreams(ctx, on.nc, i.options); err == nil {
			err = publish()
		}
	}
	return err
}

// newDeadLetter is the message as it came, with the reason. Its id is its place in
// the stream: however often it is buried, it is there once.
func (i *Intake) newDeadLetter(d *decision) *nats.Msg {
	l := d.msg
	header := l.clientHeader()
	header.Set(nats.MsgIdHdr, fmt.Sprintf("%s:%d:%d", i.stream, l.seq, l.at.UnixNano()))
	header.Set(headerError, wire.HeaderText(d.answer.Err.Message))
	header.Set(headerCode, strconv.Itoa(int(d.answer.Err.Code)))
	header.Set(headerStream, i.stream)
	header.Set(headerSeq, strconv.FormatUint(l.seq, 10))
	header.Set(headerTime, l.at.UTC().Format(time.RFC3339Nano))
	header.Set(headerSubject, l.subject)
	return &nats.Msg{Subject: i.subjects.DeadLetter(l.client), Header: header, Data: l.data}
}

// parkedMsg is the message as it came, with its first place in the stream, by
// which its task has its id.
func (i *Intake) parkedMsg(l *intakeMsg) *nats.Msg {
	header := l.clientHeader()
	header.Set(nats.MsgIdHdr, fmt.Sprintf("parked:%d:%d", l.streamSeq, l.seq))
	header.Set(headerOrigin, fmt.Sprintf("%d:%d", l.seq, l.at.UnixNano()))
	return &nats.Msg{Subject: i.subjects.Parked(l.client), Header: header, Data: l.data}
}
