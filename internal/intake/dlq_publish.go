package intake

import (
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/aria-cluster/dispatcher/internal/wire"
)

// Headers of a dead letter.
const (
	headerError   = "Aria-Error"      // the reason, one sentence
	headerCode    = "Aria-Error-Code" // code of the error, such as 400
	headerStream  = "Aria-Stream"     // name of its stream
	headerSeq     = "Aria-Sequence"   // its sequence in that stream
	headerTime    = "Aria-Time"       // when it was stored in that stream
	headerSubject = "Aria-Subject"    // its subject
	headerMsgID   = "Aria-Msg-Id"     // its own Nats-Msg-Id
	headerOrigin  = "Aria-Origin"     // of a parked message only: see origin
)

// maxMsgID limits the Nats-Msg-Id that is repeated, in bytes.
const maxMsgID = 256

// publishDeadLetter stores a dead letter once.
func (i *Intake) publishDeadLetter(d *delivery) error {
	m := i.newDeadLetter(d)
	exists, err := i.isDeadLettered(deadIDOf(m.Subject, m.Header), d.msg.at)
	if err != nil || exists {
		return err
	}
	return i.publish(wire.StreamDLQ, m)
}

// divertDelay is the delay until the redelivery of a parked message, or of one that
// could not be moved.
const divertDelay = 5 * time.Second

// newDeadLetter returns the message with the reason in its headers. Its id is derived
// from its place in the stream, so that NATS stores it once. After a resubmit it is
// another dead letter: NATS still remembers the id of the one before.
func (i *Intake) newDeadLetter(d *delivery) *nats.Msg {
	l := d.msg
	header := l.clientHeader()
	header.Set(nats.MsgIdHdr, i.stream+":"+l.origin.String())
	header.Set(headerError, wire.HeaderText(d.answer.Err.Message))
	header.Set(headerCode, strconv.Itoa(int(d.answer.Err.Code)))
	header.Set(headerStream, i.stream)
	header.Set(headerSeq, strconv.FormatUint(l.seq, 10))
	header.Set(headerTime, l.at.UTC().Format(time.RFC3339Nano))
	header.Set(headerSubject, l.subject)
	return &nats.Msg{Subject: i.subjects.DeadLetter(l.client), Header: header, Data: l.data}
}

// parkedMsg returns the message with its first place in the stream, from which the id
// of its task is derived.
func (i *Intake) parkedMsg(l *intakeMsg) *nats.Msg {
	header := l.clientHeader()
	header.Set(nats.MsgIdHdr, fmt.Sprintf("parked:%d:%d", l.place.seq, l.seq))
	header.Set(headerOrigin, l.origin.String())
	return &nats.Msg{Subject: i.subjects.Parked(l.client), Header: header, Data: l.data}
}
