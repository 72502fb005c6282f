package intake

import (
	"fmt"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/aria-cluster/dispatcher/internal/goroutine"
	"github.com/aria-cluster/dispatcher/internal/wire"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// The two verdicts, as the last token of their subject.
const (
	verdictAccepted = "accepted"
	verdictRejected = "rejected"
)

// finishDecided acknowledges decided messages. It runs in one goroutine.
func (i *Intake) finishDecided() {
	for {
		select {
		case <-i.quit:
			return
		case d := <-i.decided:
			switch d.outcome() {
			case outcomeAccept:
				i.withRecovery(&d, i.finish)
			case outcomeRetry:
				i.warnings.Warn("a message of the intake is retried later", "seq", d.msg.seq, "client", d.msg.client, "error", d.answer.Err)
				i.logAckError(&d, d.msg.nak(d.backoff()))
			default:
				i.diverted <- d
				continue // divert releases it
			}
			i.release(d.msg)
		}
	}
}

// withRecovery calls do; after a panic the message is redelivered.
func (i *Intake) withRecovery(d *decision, do func(*decision)) {
	panicked := goroutine.Guard(i.logger, "a message of the intake panicked", func() { do(d) }, "seq", d.msg.seq, "client", d.msg.client)
	if panicked {
		i.logAckError(d, d.msg.nak(divertDelay))
	}
}

// finish publishes the verdict and then acknowledges the message. If one of them fails
// the message is redelivered, with the same verdict.
func (i *Intake) finish(d *decision) {
	err := i.publishVerdict(d)
	if err == nil {
		err = d.msg.ack()
	}
	i.logAckError(d, err)
}

func (i *Intake) logAckError(d *decision, err error) {
	if err != nil {
		i.warnings.Warn("a message of the intake could not be acknowledged; it is redelivered", "seq", d.msg.seq, "client", d.msg.client, "error", err)
	}
}

// publishVerdict publishes the verdict.
func (i *Intake) publishVerdict(d *decision) error {
	v := model.IntakeVerdict{
		Seq: d.msg.seq, MsgID: d.msg.msgID, Client: d.msg.client, Error: d.answer.Err, At: model.TimeOf(time.Now()),
	}
	word := verdictRejected
	if d.answer.Err == nil {
		word = verdictAccepted
		v.ID, v.Status = d.answer.Task.ID, d.answer.Task.Status
	} else {
		v.ID = d.answer.Err.ID
	}
	body, err := wire.Encode(&v)
	if err != nil {
		return err
	}
	return i.connection.Current().Publish(i.subjects.IntakeVerdict(v.Client, strconv.FormatUint(v.Seq, 10), word), body)
}

// read decodes and validates a message. A panic in it, a bug, must not end the
// dispatcher: the message would be redelivered to the next one.
func (i *Intake) read(l *intakeMsg) (spec *model.TaskSpec, err *model.Error) {
	defer func() {
		if p := recover(); p != nil {
			i.logger.Error("a message of the intake panicked", "seq", l.seq, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			spec, err = nil, model.Errorf(model.CodeInternal, "submit: a bug in the dispatcher; its log says more")
		}
	}()
	if err := model.CheckName("client", l.name); err != nil {
		return nil, model.AsError(err)
	}
	return decodeIntake(l.data, wire.MaxBody(i.connection.Current()))
}

// decodeIntake decodes the body of a message of the intake, which is one TaskSpec.
func decodeIntake(data []byte, room int) (*model.TaskSpec, *model.Error) {
	list, many, err := wire.DecodeSubmit(data, room)
	switch {
	case err != nil:
		return nil, err
	case many:
		return nil, model.Errorf(model.CodeInvalid, "tasks: the intake takes one task a message")
	case list[0].Err != nil:
		return nil, list[0].Err
	}
	spec := list[0].Spec
	for field, bytes := range map[string][]byte{"torrent": spec.Torrent, "metalink": spec.Metalink} {
		if len(bytes) > 0 {
			return nil, wire.WithID(spec.ID, model.Errorf(model.CodeInvalid, "%s: is not taken through the intake; submit it by a request", field))
		}
	}
	return spec, nil
}
