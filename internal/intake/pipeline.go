package intake

import (
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/aria-cluster/dispatcher/internal/engine"
	"github.com/aria-cluster/dispatcher/internal/goroutine"
	"github.com/aria-cluster/dispatcher/internal/wire"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// delivery is a message on its way through the stages.
type delivery struct {
	source jetstream.Msg   // what a consumer delivered; nil if it was read from the stream
	msg    *intakeMsg      // set by fetch
	spec   *model.TaskSpec // set by decode, until submit
	answer engine.Answer   // set by the stage that decides, or by the backend
	lookup lookup          // set before it is settled
}

// step is what a stage makes of a delivery.
type step uint8

const (
	stepNext     step = iota // the next stage takes it
	stepDecided              // it has its answer, and settle takes it
	stepWaits                // the backend answers later, and settle takes it then
	stepIgnored              // it leaves: it is no message of the stream, or is in flight already
	stepReturned             // it leaves: NATS redelivers it
	stepSettled              // it leaves by its outcome
)

// stage is one part of the pipeline.
type stage struct {
	name string
	run  func(*Intake, *delivery) step
}

// stages is the pipeline, in order. A message passes all but the last in the goroutine
// that receives it, so that messages keep their order; settle has goroutines of its own.
var stages = []stage{
	{"fetch", (*Intake).fetch},
	{"admit", (*Intake).admit},
	{"decode", (*Intake).decode},
	{"submit", (*Intake).submit},
	{"settle", (*Intake).settle},
}

// process takes a delivery through the stages before settle.
func (i *Intake) process(d *delivery) {
	for _, s := range stages[:len(stages)-1] {
		switch i.runStage(s, d) {
		case stepNext:
		case stepDecided:
			i.decided <- d
			return
		default:
			return
		}
	}
}

// runStage takes a delivery through one stage before settle. A panic there, a bug, must not end
// the dispatcher: NATS would redeliver the message to the next one.
func (i *Intake) runStage(s stage, d *delivery) (next step) {
	panicked := goroutine.Guard(i.logger, "a message of the intake panicked", func() { next = s.run(i, d) }, func() []any {
		if d.msg == nil {
			return []any{"stage", s.name}
		}
		return []any{"seq", d.msg.seq, "client", d.msg.client, "stage", s.name}
	})
	switch {
	case !panicked:
		return next
	case d.msg == nil:
		return stepReturned // NATS redelivers it after intakeAckWait
	}
	d.answer.Err = model.Errorf(model.CodeInternal, "submit: %s", goroutine.FaultText)
	return stepDecided
}

// fetch reads the message of a delivery.
func (i *Intake) fetch(d *delivery) step {
	if d.msg != nil { // read from the stream
		return stepNext
	}
	m := d.source
	meta, err := m.Metadata()
	if err != nil {
		i.warnings.Warn("the intake got a message that did not come from a stream", "subject", m.Subject(), "error", err)
		return stepIgnored
	}
	l := i.newMsg(meta.Sequence.Stream, meta.Timestamp, m.Subject(), m.Headers(), m.Data())
	l.delivered, l.ack, l.nak = meta.NumDelivered, m.Ack, m.NakWithDelay
	d.msg = l
	return stepNext
}

// admit bounds the messages without a decision, and blocks until there is room. A
// redelivery of a message without a decision is ignored.
func (i *Intake) admit(d *delivery) step {
	select {
	case i.slots <- struct{}{}: // also during a stop
	default:
		select {
		case i.slots <- struct{}{}:
		case <-i.ctx.Done():
			_ = d.msg.nak(0) // NATS redelivers it in any case
			return stepReturned
		}
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if _, again := i.inFlight[d.msg.place]; again {
		<-i.slots
		return stepIgnored
	}
	i.inFlight[d.msg.place] = struct{}{}
	i.deciding.Add(1)
	return stepNext
}

// release undoes admit after the decision.
func (i *Intake) release(l *intakeMsg) {
	i.mu.Lock()
	delete(i.inFlight, l.place)
	i.mu.Unlock()
	<-i.slots
	i.deciding.Done()
}

// decode reads the spec of the message, or finds it invalid.
func (i *Intake) decode(d *delivery) step {
	spec, err := i.read(d.msg)
	if err != nil {
		d.answer.Err = err
		return stepDecided
	}
	d.spec = spec
	return stepNext
}

// submit passes the spec to the backend.
func (i *Intake) submit(d *delivery) step {
	spec := d.spec
	d.spec = nil // not needed while the backend works
	op := engine.Submit{Client: d.msg.client, Spec: spec, Hash: spec.Hash(), Chosen: true, Via: engine.ViaIntake, Traceparent: wire.Traceparent(d.msg.header)}
	if spec.ID == "" {
		spec.ID = intakeID(i.stream, d.msg)
	}
	err := i.offer([]engine.Event{op}, func(answers []engine.Answer) {
		d.answer = engine.Answer{Err: wire.ErrNoAnswer}
		if len(answers) == 1 && (answers[0].Err != nil || answers[0].Task != nil) {
			d.answer = answers[0]
		}
		i.decided <- d
	})
	if err != nil {
		d.answer.Err = err
		return stepDecided
	}
	return stepWaits
}

// offer passes the operation to the backend; while the inbox is full it waits a little.
// All clients share the inbox, so a message of the intake has no priority.
func (i *Intake) offer(ops []engine.Event, done func([]engine.Answer)) *model.Error {
	begun, pause := time.Now(), firstInboxRetry
	for {
		err := i.backend.Do(ops, done)
		if err == nil || err.Code != model.CodeUnavailable {
			return err
		}
		now := time.Now()
		i.mu.Lock()
		late := now.Sub(begun) > maxInboxWait || now.Sub(i.fullAt) < maxInboxWait
		if late {
			i.fullAt = now // the next messages do not wait as long again
		}
		i.mu.Unlock()
		if late {
			return err
		}
		select {
		case <-i.ctx.Done():
			return err
		case <-time.After(pause):
		}
		pause = min(2*pause, lastInboxRetry)
	}
}
