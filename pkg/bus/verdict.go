package bus

import (
	"crypto/sha256"
	"fmt"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/oklog/ulid/v2"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// decision is a message of the intake and what became of it.
type decision struct {
	letter *letter
	client string
	answer model.Answer
}

// The two verdicts, as the last token of their subject.
const (
	verdictAccepted = "accepted"
	verdictRejected = "rejected"
)

// IntakeVerdict tells what became of a message of the intake: the task that was
// made of it, or why there is none.
type IntakeVerdict struct {
	Seq    uint64       `json:"seq"`              // the message's, as its PubAck said
	MsgID  string       `json:"msg_id,omitempty"` // its header Nats-Msg-Id
	Client string       `json:"client"`
	ID     string       `json:"id,omitempty"`     // of the task
	Status model.Status `json:"status,omitempty"` // of the task
	Error  *model.Error `json:"error,omitempty"`
	At     model.Time   `json:"at"`
}

// again reports whether the same message may be accepted later: it is not the
// message that is wrong.
func (d *decision) again() bool {
	switch err := d.answer.Err; {
	case err == nil:
		return false
	default:
		return err.Code == model.CodeTooMany || err.Code == model.CodeUnavailable || err.Code == model.CodeInternal
	}
}

// backoff is how long a message rests that may be accepted later. The longest
// rests are for limits and bugs, which pass more slowly than an overload.
func (d *decision) backoff() time.Duration {
	longest := 5 * time.Second
	if d.answer.Err.Code != model.CodeUnavailable {
		longest = 30 * time.Second
	}
	return min(250*time.Millisecond<<min(d.letter.delivered, 10), longest)
}

// settle acknowledges what is decided. It runs in one goroutine.
func (i *Intake) settle() {
	for {
		select {
		case <-i.quit:
			return
		case d := <-i.decided:
			switch {
			case d.answer.Err == nil:
				i.finish(&d)
			case d.again():
				i.troubles.warn("a message of the intake is put off", "seq", d.letter.seq, "client", d.client, "error", d.answer.Err)
				i.report(&d, d.letter.nak(d.backoff()))
			default:
				i.dead <- d
				continue // it is not ended yet
			}
			i.end(d.letter)
		}
	}
}

// finish tells the verdict and then acknowledges the message. Where one of them
// fails it comes again, and gets the same verdict.
func (i *Intake) finish(d *decision) {
	err := i.tell(d)
	if err == nil {
		err = d.letter.ack()
	}
	i.report(d, err)
}

func (i *Intake) report(d *decision, err error) {
	if err != nil {
		i.troubles.warn("a message of the intake could not be acknowledged; it comes again", "seq", d.letter.seq, "client", d.client, "error", err)
	}
}

// tell publishes the verdict.
func (i *Intake) tell(d *decision) error {
	v := IntakeVerdict{
		Seq: d.letter.seq, MsgID: clean(d.letter.header.Get(nats.MsgIdHdr), maxMsgID), Client: d.client, Error: d.answer.Err, At: model.TimeOf(time.Now()),
	}
	word := verdictRejected
	if d.answer.Err == nil {
		word = verdictAccepted
		v.ID, v.Status = d.answer.Task.ID, d.answer.Task.Status
	} else {
		v.ID = d.answer.Err.ID
	}
	body, err := encode(&v)
	if err != nil {
		return err
	}
	return i.nc.Publish(i.subjects.IntakeVerdict(d.client, strconv.FormatUint(v.Seq, 10), word), body)
}

// read decodes and validates a message. A panic in it, a bug, must not end the
// dispatcher, for the message would come again to the next one.
func (i *Intake) read(l *letter) (spec *model.TaskSpec, err *model.Error) {
	defer func() {
		if p := recover(); p != nil {
			i.logger.Error("a message of the intake panicked", "seq", l.seq, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			spec, err = nil, model.Errorf(model.CodeInternal, "submit: a bug in the dispatcher; its log says more")
		}
	}()
	client, ok := strings.CutSuffix(strings.TrimPrefix(l.subject, i.subjects.Prefix+".intake."), ".submit")
	if !ok {
		return nil, model.Errorf(model.CodeInvalid, "subject: %.200q is none of the intake", l.subject)
	}
	if err := model.CheckName("client", client); err != nil {
		return nil, model.AsError(err)
	}
	return decodeIntake(l.data, roomOf(i.nc))
}

// decodeIntake reads the body of a message of the intake, which is one TaskSpec.
func decodeIntake(data []byte, room int) (*model.TaskSpec, *model.Error) {
	list, many, err := decodeSubmit(data, room)
	switch {
	case err != nil:
		return nil, err
	case many:
		return nil, model.Errorf(model.CodeInvalid, "tasks: the intake takes one task a message")
	case list[0].err != nil:
		return nil, list[0].err
	}
	spec := list[0].spec
	for field, bytes := range map[string][]byte{"torrent": spec.Torrent, "metalink": spec.Metalink} {
		if len(bytes) > 0 {
			return nil, about(spec.ID, model.Errorf(model.CodeInvalid, "%s: is not taken through the intake; submit it by a request", field))
		}
	}
	return spec, nil
}

// nobody stands where a message's subject has a name that no client can have.
const nobody = "_"

func (i *Intake) clientOf(subject string) string {
	client := strings.TrimSuffix(strings.TrimPrefix(subject, i.subjects.Prefix+".intake."), ".submit")
	if !model.ValidName(client) {
		return nobody
	}
	return client
}

// intakeID makes the id of the task of a message: the same each time it comes,
// another one for each message, also where a stream was removed and made again.
// It is a ULID of the time when the message was stored.
func intakeID(stream string, l *letter) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\n%d\n%d", stream, l.seq, l.at.UnixNano()))
	var id ulid.ULID
	// It fails only for times after the year 10889.
	_ = id.SetTime(ulid.Timestamp(l.at))
	copy(id[6:], sum[:])
	return id.String()
}
