package intake

import (
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/aria-cluster/dispatcher/internal/engine"
	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/internal/testbed/testbus"
	"github.com/aria-cluster/dispatcher/internal/testbed/testnats"
	"github.com/aria-cluster/dispatcher/internal/wire"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// copyMsg returns a message with its own headers: publishOnce changes the id.
func copyMsg(m *nats.Msg) *nats.Msg {
	return &nats.Msg{Subject: m.Subject, Header: maps.Clone(m.Header), Data: m.Data}
}

// TestPublishOnce_DuplicateOfAnotherIsStored publishes each kind of message that has an
// id while the stream knows this id, and checks how many copies are in the stream then.
func TestPublishOnce_DuplicateOfAnotherIsStored(t *testing.T) {
	p := pipelinePost(t, &fakeBackend{})
	i, letters := p.intake.Intake, p.letters(t)
	l := &intakeMsg{
		origin: origin{seq: 2, at: time.Unix(1_700_000_000, 42)}, place: place{seq: 2}, client: "shop", subject: wire.DefaultPrefix + ".intake.shop.submit", data: []byte("x"),
	}
	dead := i.newDeadLetter(&delivery{msg: l, answer: engine.Answer{Err: model.Errorf(model.CodeInvalid, "url: is missing")}})
	stored := &jetstream.RawStreamMsg{Subject: dead.Subject, Sequence: 3, Time: l.at, Header: dead.Header, Data: dead.Data}
	for kind, c := range map[string]struct {
		stream, foreign string // a subject of the stream, of another client
		m               *nats.Msg
	}{
		"parked":       {"ARIA_INTAKE", wire.DefaultPrefix + ".intake.other.submit", i.parkedMsg(l)},
		"dead letter":  {"ARIA_DLQ", wire.DefaultPrefix + ".dlq.intake.other", dead},
		"resubmission": {"ARIA_INTAKE", wire.DefaultPrefix + ".intake.other.submit", letters.resubmission(letters.describe(stored), stored)},
	} {
		for before, change := range map[string]func(m *nats.Msg) (gone bool){
			"a message of another client": func(m *nats.Msg) bool { m.Subject = c.foreign; return false },
			"a message of another place": func(m *nats.Msg) bool {
				m.Header.Set(headerOrigin, "2:43")
				return false
			},
			"a message that was removed": func(*nats.Msg) bool { return true },
			"the message itself":         func(*nats.Msg) bool { return false },
		} {
			t.Run(kind+", "+before, func(t *testing.T) {
				first, m := copyMsg(c.m), copyMsg(c.m)
				first.Header.Set(nats.MsgIdHdr, kind+before) // NATS still knows the others
				m.Header.Set(nats.MsgIdHdr, kind+before)
				gone := change(first)
				ack, err := p.js.PublishMsg(testbed.Context(t), first)
				if err != nil {
					t.Fatal(err)
				}
				stream, err := p.js.Stream(testbed.Context(t), c.stream)
				if err != nil {
					t.Fatal(err)
				}
				if gone {
					if err := stream.DeleteMsg(testbed.Context(t), ack.Sequence); err != nil {
						t.Fatal(err)
					}
				}
				if err := publishOnce(testbed.Context(t), p.js, c.stream, m); err != nil {
					t.Fatal(err)
				}
				last, err := stream.GetLastMsgForSubject(testbed.Context(t), m.Subject)
				if err != nil {
					t.Fatal(err)
				}
				if again := last.Sequence != ack.Sequence; again != (before != "the message itself") {
					t.Errorf("it is stored as %d, the message before it as %d", last.Sequence, ack.Sequence)
				}
				if id := last.Header.Get(nats.MsgIdHdr); baseID(id) != kind+before || last.Header.Get(headerOrigin) != c.m.Header.Get(headerOrigin) {
					t.Errorf("stored with the id %q and the origin %q", id, last.Header.Get(headerOrigin))
				}
			})
		}
	}
}

// TestPark_IDTakenByAnotherClientLosesNothing checks that a message above its client's
// limit is parked although another client has used the id of the parked message, and a
// dead letter is found by its id although another program has used that.
func TestPark_IDTakenByAnotherClientLosesNothing(t *testing.T) {
	limit := model.Errorf(model.CodeTooMany, "limits.client_pending: reached")
	limit.OfClient = true
	p := pipelinePost(t, &fakeBackend{})
	m := nats.NewMsg(wire.DefaultPrefix + ".intake.other.submit")
	m.Data, m.Header = []byte(`{`+source+`}`), nats.Header{nats.MsgIdHdr: []string{"parked:2:2"}}
	if _, err := p.js.PublishMsg(testbed.Context(t), m); err != nil {
		t.Fatal(err)
	}
	p.send(t, "shop", `{`+source+`}`)
	for range 2 {
		d := &delivery{source: p.deliver(t, intakeConsumer)}
		if p.intake.fetch(d) != stepNext || p.intake.admit(d) != stepNext {
			t.Fatal("it was not admitted")
		}
		d.answer = answerOp(engine.Submit{Client: d.msg.client, Spec: &model.TaskSpec{}})
		if d.msg.client == "shop" {
			d.answer = engine.Answer{Err: limit}
		}
		p.intake.conclude(d, settlements[d.outcome()])
	}
	const want = "waiting 0, parked 1, dead 0"
	testbed.Eventually(t, want, func() bool { return p.place(t) == want })
}

// TestDeadIDOf_IgnoresRandomPart checks that a dead letter is found by its id also if it
// was stored with a random part, and that the id under another subject is not its.
func TestDeadIDOf_IgnoresRandomPart(t *testing.T) {
	p := pipelinePost(t, &fakeBackend{})
	d := &delivery{
		msg:    &intakeMsg{origin: origin{seq: 5, at: time.Unix(1_700_000_000, 42)}, client: "shop", data: []byte("x")},
		answer: engine.Answer{Err: model.Errorf(model.CodeInvalid, "url: is missing")},
	}
	m := p.intake.newDeadLetter(d)
	foreign := copyMsg(m)
	foreign.Subject = wire.DefaultPrefix + ".dlq.intake.other"
	if _, err := p.js.PublishMsg(testbed.Context(t), foreign); err != nil {
		t.Fatal(err)
	}
	for n, want := range []bool{false, true} {
		p.intake.dlq = dlqIndex{}
		if got, err := p.intake.isDeadLettered(deadIDOf(m.Subject, m.Header), d.msg.at); err != nil || got != want {
			t.Errorf("look %d: dead letter %v, %v; want %v", n, got, err, want)
		}
		if err := p.intake.publishDeadLetter(d); err != nil {
			t.Fatal(err)
		}
	}
	if all := p.deadLetters(t); len(all) != 2 {
		t.Errorf("%d dead letters, want that of the other program and ours once", len(all))
	}
}

// TestIntakeStream_RefusesWhatCannotBeStoredAgain checks that the stream of a server with a
// small max_payload refuses a message that would not fit into a dead letter, also if an
// operator has created it without a limit, and that the largest one becomes a dead letter.
func TestIntakeStream_RefusesWhatCannotBeStoredAgain(t *testing.T) {
	const payload = 16 << 10
	for name, config := range map[string]*jetstream.StreamConfig{
		"of the dispatcher": nil,
		"of an operator":    {Name: "ARIA_INTAKE", Subjects: []string{"aria.v1.intake.*.submit"}, Retention: jetstream.WorkQueuePolicy},
	} {
		t.Run(name, func(t *testing.T) {
			nc := testbus.Connect(t, testnats.Start(t, &server.Options{JetStream: true, StoreDir: t.TempDir(), MaxPayload: payload}).ClientURL())
			js, err := jetstream.New(nc)
			if err != nil {
				t.Fatal(err)
			}
			if config != nil {
				if _, err := js.CreateStream(testbed.Context(t), *config); err != nil {
					t.Fatal(err)
				}
			}
			run(t, testbus.Open(t, nc.ConnectedUrl()), &fakeBackend{}, nil)
			send := func(size int) error {
				_, err := js.Publish(testbed.Context(t), "aria.v1.intake.shop.submit", []byte(strings.Repeat("x", size)))
				return err
			}
			if err := send(payload); !isTooLarge(err) {
				t.Errorf("a message of max_payload got %v", err)
			}
			if err := send(payload - wire.Headroom); err != nil {
				t.Fatal(err)
			}
			testbed.Eventually(t, "it is a dead letter", func() bool {
				stream, err := js.Stream(testbed.Context(t), "ARIA_DLQ")
				return err == nil && stream.CachedInfo().State.Msgs == 1
			})
		})
	}
}
