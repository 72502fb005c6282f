package intake

import (
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/aria-cluster/dispatcher/internal/engine"
	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// flush returns when the server has read what the intake has sent, and the test has received
// what it caused.
func (p *post) flush(t *testing.T) {
	t.Helper()
	for _, nc := range []*nats.Conn{p.intake.current().nc, p.nc} {
		if err := nc.FlushWithContext(testbed.Context(t)); err != nil {
			t.Fatal(err)
		}
	}
}

// TestIntake_StreamCreatedAgainLosesNothing commits the task of a message while the stream
// is removed and created again, and has given the sequence to another message.
func TestIntake_StreamCreatedAgainLosesNothing(t *testing.T) {
	p, taken := newHoldingPost(t)
	first := p.send(t, "shop", `{"id":"old",`+source+`}`)
	old := testbed.Receive(t, taken)
	if err := p.js.DeleteStream(testbed.Context(t), "ARIA_INTAKE"); err != nil {
		t.Fatal(err)
	}
	testbed.Eventually(t, "the stream and its consumer are back", func() bool {
		_, err := p.js.Consumer(testbed.Context(t), "ARIA_INTAKE", "dispatcher")
		return err == nil
	})
	if seq := p.send(t, "shop", `{"id":"new",`+source+`}`); seq != first {
		t.Fatalf("it has the sequence %d, want %d", seq, first)
	}
	next := testbed.Receive(t, taken)
	old.done([]engine.Answer{answerOp(old.op)})
	if v := p.verdict(t); v.ID != "old" {
		t.Errorf("verdict %+v", v)
	}
	testbed.Eventually(t, "the first message is settled", func() bool {
		p.intake.mu.Lock()
		defer p.intake.mu.Unlock()
		return len(p.intake.inFlight) == 1
	})
	p.flush(t)
	if n := p.left(t); n != 1 {
		t.Errorf("%d messages are left, want the one without a commit", n)
	}
	next.done([]engine.Answer{answerOp(next.op)})
	if v := p.verdict(t); v.ID != "new" {
		t.Errorf("verdict %+v", v)
	}
	p.emptied(t)
}

// TestSettle_ChangesNoMessageOfAnotherStream settles a message by each outcome after the
// stream was created again and has delivered another message with its sequence, which
// waits before the intake. It must be neither acknowledged nor delayed nor deleted.
func TestSettle_ChangesNoMessageOfAnotherStream(t *testing.T) {
	ofClient := model.Errorf(model.CodeTooMany, "limits.client_pending: reached")
	ofClient.OfClient = true
	for name, c := range map[string]struct {
		err     *model.Error
		change  func(d *delivery)
		outcome outcome
	}{
		"accepted":             {outcome: outcomeAccept},
		"refused":              {err: model.Errorf(model.CodeInvalid, "url: is missing"), outcome: outcomeDeadLetter},
		"over a limit of all":  {err: model.Errorf(model.CodeTooMany, "limits.max_pending: reached"), outcome: outcomeRetry},
		"above its limit":      {err: ofClient, outcome: outcomePark},
		"parked, first time":   {err: ofClient, change: func(d *delivery) { d.msg.parked = true }, outcome: outcomeRetryPlace},
		"a bug in a settling":  {change: func(d *delivery) { d.answer = engine.Answer{} }, outcome: outcomeAccept},
		"read from the stream": {change: func(d *delivery) { d.source = nil }, outcome: outcomeAccept},
	} {
		t.Run(name, func(t *testing.T) {
			p := pipelinePost(t, &fakeBackend{})
			i := p.intake.Intake
			seq := p.send(t, "shop", `{"id":"old",`+source+`}`)
			d := &delivery{source: p.deliver(t, intakeConsumer)}
			d.answer = answerOp(engine.Submit{Client: "shop", Spec: &model.TaskSpec{ID: "old"}})
			if c.err != nil {
				d.answer = engine.Answer{Err: c.err}
			}
			if i.fetch(d); c.change != nil {
				c.change(d)
			}
			stream, err := i.openStream(i.current())
			if err != nil {
				t.Fatal(err)
			}
			if d.source == nil {
				if d.msg, err = i.readStream(stream, seq, 0, ""); err != nil {
					t.Fatal(err)
				}
			}
			if got := i.admit(d); got != stepNext || d.outcome() != c.outcome {
				t.Fatalf("step %d, outcome %d", got, d.outcome())
			}
			if err := p.js.DeleteStream(testbed.Context(t), "ARIA_INTAKE"); err != nil {
				t.Fatal(err)
			}
			if err := EnsureStreams(testbed.Context(t), p.nc, streamOptions()); err != nil {
				t.Fatal(err)
			}
			acks := make(chan *nats.Msg, 10)
			if _, err := p.nc.ChanSubscribe("$JS.ACK.ARIA_INTAKE.>", acks); err != nil {
				t.Fatal(err)
			}
			p.send(t, "other", `{"id":"new",`+source+`}`)
			next := &delivery{source: p.deliver(t, intakeConsumer)}

			i.decided <- d
			i.settleBatch(testbed.Receive(t, i.decided))
			if settlements[c.outcome].diverted {
				i.conclude(testbed.Receive(t, i.diverted), settlements[c.outcome])
			}
			p.flush(t)
			if len(acks) != 0 {
				t.Errorf("the intake sent %s of the message", testbed.Receive(t, acks).Data)
			}
			if at := p.storedAt(t, seq); at.IsZero() {
				t.Error("the message is gone")
			}
			if got := i.fetch(next); got != stepNext || i.admit(next) != stepNext || next.msg.place.seq != seq {
				t.Errorf("the message of the new stream is not decided")
			}
		})
	}
}
