package intake

import (
	"slices"
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

// settlement is what settle does with a message of one outcome.
type settlement struct {
	// diverted: it waits for a stream, so a goroutine of its own does it.
	diverted bool
	do       func(*Intake, *delivery)
}

// settlements is what becomes of a message, by its outcome.
var settlements = [...]settlement{
	outcomeAccept:     {do: (*Intake).finish},
	outcomeRetry:      {do: (*Intake).redeliver},
	outcomeRetryPlace: {diverted: true, do: (*Intake).redeliverInPlace},
	outcomePark:       {diverted: true, do: (*Intake).park},
	outcomeDeadLetter: {diverted: true, do: (*Intake).moveToDeadLetters},
}

func (d *delivery) isDiverted() bool { return settlements[d.outcome()].diverted }

// settle publishes what was decided on a message, and acknowledges it.
func (i *Intake) settle(d *delivery) step {
	s := settlements[d.outcome()]
	if s.diverted {
		i.diverted <- d
		return stepWaits
	}
	i.conclude(d, s)
	return stepSettled
}

// conclude carries out a settlement; after a panic the message is redelivered.
func (i *Intake) conclude(d *delivery, s settlement) {
	panicked := goroutine.Guard(i.logger, "a message of the intake panicked", func() { s.do(i, d) },
		func() []any { return []any{"seq", d.msg.seq, "client", d.msg.client} })
	if panicked {
		i.logAckError(d, i.delay(d, divertDelay))
	}
	i.release(d.msg)
}

// settleDecided settles decided messages. It runs in one goroutine.
func (i *Intake) settleDecided() {
	for {
		select {
		case <-i.quit:
			return
		case d := <-i.decided:
			i.settleBatch(d)
		}
	}
}

// settleBatch settles a decided message and those that are decided by now, up to maxLookups.
func (i *Intake) settleBatch(first *delivery) {
	batch := []*delivery{first}
	for more := true; more && len(batch) < maxLookups; {
		select {
		case d := <-i.decided:
			batch = append(batch, d)
		default:
			more = false
		}
	}
	i.lookUp(slices.DeleteFunc(slices.Clone(batch), (*delivery).isDiverted)) // those after what they wait for
	last := stages[len(stages)-1]
	for _, d := range batch {
		last.run(i, d)
	}
}

// settleDiverted settles the messages that move to another place of the streams. It runs
// in one goroutine.
func (i *Intake) settleDiverted() {
	for {
		select {
		case <-i.quit:
			return
		case d := <-i.diverted:
			i.conclude(d, settlements[d.outcome()])
		}
	}
}

// finish publishes the verdict and then acknowledges the message. If one of them fails
// the message is redelivered, with the same verdict.
func (i *Intake) finish(d *delivery) {
	err := i.publishVerdict(d)
	if err == nil {
		err = i.acknowledge(d)
	}
	i.logAckError(d, err)
}

// redeliver has NATS redeliver the message after a backoff.
func (i *Intake) redeliver(d *delivery) {
	i.warnings.Warn("a message of the intake is retried later", "seq", d.msg.seq, "client", d.msg.client, "error", d.answer.Err)
	i.logAckError(d, i.delay(d, d.backoff()))
}

// redeliverInPlace has NATS redeliver a parked message once before it moves behind the
// others.
func (i *Intake) redeliverInPlace(d *delivery) { i.logAckError(d, i.delay(d, divertDelay)) }

// park moves a message that is above its client's limits behind the parked messages. One
// that has no room for the headers of a parked message would be retried in its place, before
// the messages of other clients, until the client is below its limits: it becomes a dead letter.
func (i *Intake) park(d *delivery) {
	err := i.publish(wire.StreamIntake, i.parkedMsg(d.msg))
	if isTooLarge(err) {
		d.answer.Err = wire.WithID(d.answer.Err.ID, model.Errorf(model.CodeTooLarge, "%s; the message is too large to wait", d.answer.Err.Message))
		i.moveToDeadLetters(d)
		return
	}
	if err != nil {
		i.warnings.Warn("a message above its client's limits could not be parked", "seq", d.msg.seq, "client", d.msg.client, "error", err)
		i.logAckError(d, i.delay(d, divertDelay))
		return
	}
	i.logAckError(d, i.acknowledge(d))
}

// moveToDeadLetters moves a message that can never be accepted.
func (i *Intake) moveToDeadLetters(d *delivery) {
	if err := i.publishDeadLetter(d); err != nil {
		i.warnings.Warn("a dead letter could not be stored; its message is redelivered", "seq", d.msg.seq, "client", d.msg.client, "error", err)
		i.logAckError(d, i.delay(d, divertDelay))
		return
	}
	i.finish(d)
}

func (i *Intake) logAckError(d *delivery, err error) {
	if err != nil {
		i.warnings.Warn("a message of the intake could not be acknowledged; it is redelivered", "seq", d.msg.seq, "client", d.msg.client, "error", err)
	}
}

// publishVerdict publishes the verdict.
func (i *Intake) publishVerdict(d *delivery) error {
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
	err = i.connection.Current().Publish(i.subjects.IntakeVerdict(v.Client, strconv.FormatUint(v.Seq, 10), word), body)
	if err == nil {
		i.backend.Verdict(&v)
	}
	return err
}
