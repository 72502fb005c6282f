package intake

import (
	"crypto/sha256"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/oklog/ulid/v2"

	"github.com/aria-cluster/dispatcher/internal/wire"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// intakeMsg is one message of the intake. For a parked message, its origin is its first
// place, which the client knows.
type intakeMsg struct {
	origin
	place     place  // in the stream, now
	delivered uint64 // number of deliveries
	parked    bool
	name      string // of the client, as in the subject
	client    string // the same, or invalidClient
	msgID     string // its own Nats-Msg-Id
	subject   string
	header    nats.Header
	data      []byte

	ack func() error
	nak func(after time.Duration) error
}

// invalidClient replaces the name in a subject that is not a valid client name.
const invalidClient = "_"

func (i *Intake) newMsg(seq uint64, at time.Time, subject string, header nats.Header, data []byte) *intakeMsg {
	l := &intakeMsg{origin: origin{seq: seq, at: at}, place: place{seq: seq, at: at.UnixNano()}, delivered: 1, subject: subject, header: header, data: data}
	l.name, _, _ = strings.Cut(strings.TrimPrefix(subject, i.subjects.Prefix+".intake."), ".")
	l.client = l.name
	if !model.ValidName(l.name) {
		l.client = invalidClient
	}
	l.msgID = sanitizeID(header.Get(nats.MsgIdHdr))
	if subject == i.subjects.Parked(l.name) {
		l.parked, l.msgID, l.subject = true, sanitizeID(header.Get(headerMsgID)), i.subjects.Intake(l.name)
		if first, ok := parseOrigin(header.Get(headerOrigin)); ok {
			l.origin = first
		}
	}
	return l
}

// origin is the first place of a message in the intake.
type origin struct {
	seq         uint64 // the sequence in its PubAck
	at          time.Time
	resubmitted uint64 // sequence of the dead letter that it was last; 0 = never
}

// String is the form of the header; a message that was never resubmitted has two parts.
func (o origin) String() string {
	s := fmt.Sprintf("%d:%d", o.seq, o.at.UnixNano())
	if o.resubmitted > 0 {
		s += fmt.Sprintf(":%d", o.resubmitted)
	}
	return s
}

// parseOrigin parses the form of String.
func parseOrigin(s string) (o origin, ok bool) {
	parts := strings.Split(s, ":")
	if len(parts) < 2 || len(parts) > 3 {
		return origin{}, false
	}
	seq, err := strconv.ParseUint(parts[0], 10, 64)
	ns, err2 := strconv.ParseInt(parts[1], 10, 64)
	if err != nil || err2 != nil {
		return origin{}, false
	}
	o = origin{seq: seq, at: time.Unix(0, ns)}
	if len(parts) == 3 {
		if o.resubmitted, err = strconv.ParseUint(parts[2], 10, 64); err != nil {
			return origin{}, false
		}
	}
	return o, true
}

// clientHeader returns the headers of the client, for storing the message again.
// Headers of NATS are commands to a stream, and headers of the dispatcher are its own.
func (l *intakeMsg) clientHeader() nats.Header {
	header := nats.Header{}
	for name, values := range l.header {
		if lower := strings.ToLower(name); !strings.HasPrefix(lower, "nats-") && !strings.HasPrefix(lower, "aria-") {
			header[name] = values
		}
	}
	if l.msgID != "" {
		header.Set(headerMsgID, l.msgID)
	}
	return header
}

// sanitizeID makes an id valid in a header or an event.
func sanitizeID(id string) string {
	if id == "" {
		return ""
	}
	return wire.HeaderText(strings.ToValidUTF8(id[:min(len(id), maxMsgID)], ""))
}

// intakeID derives the id of the task of a message: the same for each redelivery,
// another one for each message, even if the stream was removed and created again. It is
// a ULID with the time at which the message was stored.
func intakeID(stream string, l *intakeMsg) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\n%d\n%d", stream, l.seq, l.at.UnixNano()))
	var id ulid.ULID
	// It fails only for times after the year 10889.
	_ = id.SetTime(ulid.Timestamp(l.at))
	copy(id[6:], sum[:])
	return id.String()
}
