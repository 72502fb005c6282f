package intake

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/aria-cluster/dispatcher/internal/engine"
	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/internal/testbed/testbus"
	"github.com/aria-cluster/dispatcher/internal/wire"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// pipelinePost is a post with an intake that does not run: the test takes its messages
// through the stages.
func pipelinePost(t *testing.T, backend *fakeBackend) *post {
	t.Helper()
	s := testbus.StartServer(t)
	p := &post{server: s, backend: backend, nc: testbus.Connect(t, s.ClientURL()), verdicts: make(chan *nats.Msg, 16)}
	var err error
	if p.js, err = jetstream.New(p.nc); err != nil {
		t.Fatal(err)
	}
	if _, err := p.nc.ChanSubscribe(wire.DefaultPrefix+".evt.intake.>", p.verdicts); err != nil {
		t.Fatal(err)
	}
	i, err := New(testbed.Context(t), testbus.Open(t, s.ClientURL()), backend, streamOptions(), slog.New(slog.NewTextHandler(t.Output(), nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(i.attachment.Detach)
	p.intake = &running{Intake: i}
	return p
}

// deliver returns the next message of a consumer.
func (p *post) deliver(t *testing.T, consumer string) jetstream.Msg {
	t.Helper()
	c, err := p.js.Consumer(testbed.Context(t), "ARIA_INTAKE", consumer)
	if err != nil {
		t.Fatal(err)
	}
	m, err := c.Next(jetstream.FetchMaxWait(testbed.Patience))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// place says where the messages are: how many wait or are parked in the stream, how many
// were delivered and not acknowledged, and how many are dead letters.
func (p *post) place(t *testing.T) string {
	t.Helper()
	in, err := p.js.Stream(testbed.Context(t), "ARIA_INTAKE")
	if err != nil {
		t.Fatal(err)
	}
	info, err := in.Info(testbed.Context(t), jetstream.WithSubjectFilter(">"))
	if err != nil {
		t.Fatal(err)
	}
	parked, all := uint64(0), uint64(0)
	for subject, n := range info.State.Subjects {
		if all += n; strings.HasSuffix(subject, ".parked") {
			parked += n
		}
	}
	return fmt.Sprintf("waiting %d, parked %d, dead %d", all-parked, parked, len(p.deadLetters(t)))
}

// stageIndex returns the index of a stage.
func stageIndex(t *testing.T, name string) int {
	t.Helper()
	for n, s := range stages {
		if s.name == name {
			return n
		}
	}
	t.Fatalf("there is no stage %s", name)
	return 0
}

// TestPipeline_MessagePassesEachStage takes a message of a real stream through each stage
// and checks what the stage has done.
func TestPipeline_MessagePassesEachStage(t *testing.T) {
	p := pipelinePost(t, &fakeBackend{})
	i := p.intake.Intake
	seq := p.send(t, "shop", `{"id":"a",`+source+`}`)
	d := &delivery{source: p.deliver(t, intakeConsumer)}
	for n, c := range []struct {
		stage string
		want  step
		done  func() bool
	}{
		{"fetch", stepNext, func() bool { return d.msg.place.seq == seq && d.msg.client == "shop" && d.msg.delivered == 1 }},
		{"admit", stepNext, func() bool { _, there := i.inFlight[d.msg.place]; return there && len(i.slots) == 1 }},
		{"decode", stepNext, func() bool { return d.spec.ID == "a" }},
		{"submit", stepWaits, func() bool { return len(p.backend.taken()) == 1 && d.spec == nil }},
		{"settle", stepSettled, func() bool { return len(i.inFlight) == 0 && len(i.slots) == 0 }},
	} {
		if stages[n].name != c.stage || len(stages) != 5 {
			t.Fatalf("stage %d of %d is %s, not %s", n, len(stages), stages[n].name, c.stage)
		}
		if got := stages[n].run(i, d); got != c.want || !c.done() {
			t.Fatalf("%s: step %d, want %d; its work is done: %v", c.stage, got, c.want, c.done())
		}
		if c.stage == "submit" {
			if answered := testbed.Receive(t, i.decided); answered != d || d.answer.Task == nil {
				t.Fatalf("the answer of the backend is %+v", d.answer)
			}
			if len(p.verdicts) != 0 || p.left(t) != 1 {
				t.Fatal("it was acknowledged before settle")
			}
		}
	}
	if v := p.verdict(t); v.ID != "a" || v.Error != nil {
		t.Errorf("the verdict is %+v", v)
	}
	p.emptied(t)
}

// foreignMsg is a message that did not come from a stream.
type foreignMsg struct{ jetstream.Msg }

func (foreignMsg) Metadata() (*jetstream.MsgMetadata, error) { return nil, errors.New("no metadata") }

// brokenMsg is a message that a bug cannot read.
type brokenMsg struct{ jetstream.Msg }

func (brokenMsg) Headers() nats.Header { panic("a bug") }

// TestPipeline_EachExit takes messages of a real stream to each exit of each stage, and
// checks where they are then.
func TestPipeline_EachExit(t *testing.T) {
	ofClient := model.Errorf(model.CodeTooMany, "limits.client_pending: reached")
	ofClient.OfClient = true
	tooLarge := `{"id":"a",` + source + `}`
	tooLarge += strings.Repeat(" ", intakeMsgSize-len(tooLarge)) // without room for a header
	const waits, dead, gone = "waiting 1, parked 0, dead 0", "waiting 0, parked 0, dead 1", "waiting 0, parked 0, dead 0"
	for name, c := range map[string]struct {
		body    string
		answer  *model.Error               // of the backend, at once
		before  func(p *post, d *delivery) // before the first stage
		stage   string                     // that it leaves, or that decides
		want    step                       // of that stage
		outcome outcome                    // where it is decided
		place   string
		verdict string
	}{
		"foreign":             {before: func(_ *post, d *delivery) { d.source = foreignMsg{d.source} }, stage: "fetch", want: stepIgnored, place: waits},
		"unreadable by a bug": {before: func(_ *post, d *delivery) { d.source = brokenMsg{d.source} }, stage: "fetch", want: stepReturned, place: waits},
		"in flight already":   {before: func(p *post, d *delivery) { p.intake.fetch(d); p.intake.inFlight[d.msg.place] = struct{}{} }, stage: "admit", want: stepIgnored, place: waits},
		"no room at the stop": {before: func(p *post, _ *delivery) {
			for range cap(p.intake.slots) {
				p.intake.slots <- struct{}{}
			}
			p.intake.Intake.cancel()
		}, stage: "admit", want: stepReturned, place: waits},
		"invalid":             {body: `{"id":"a"}`, stage: "decode", want: stepDecided, outcome: outcomeDeadLetter, place: dead, verdict: "rejected"},
		"refused":             {answer: model.Errorf(model.CodeConflict, "id: taken"), stage: "submit", want: stepDecided, outcome: outcomeDeadLetter, place: dead, verdict: "rejected"},
		"over a limit of all": {answer: model.Errorf(model.CodeTooMany, "limits.max_pending: reached"), stage: "submit", want: stepDecided, outcome: outcomeRetry, place: waits},
		"above its limit":     {answer: ofClient, stage: "submit", want: stepDecided, outcome: outcomePark, place: "waiting 0, parked 1, dead 0"},
		"too large to park":   {body: tooLarge, answer: ofClient, stage: "submit", want: stepDecided, outcome: outcomePark, place: dead, verdict: "rejected"},
		"parked, first time":  {answer: ofClient, before: func(p *post, d *delivery) { p.intake.fetch(d); d.msg.parked = true }, stage: "submit", want: stepDecided, outcome: outcomeRetryPlace, place: waits},
		"accepted":            {stage: "submit", want: stepWaits, outcome: outcomeAccept, place: gone, verdict: "accepted"},
	} {
		t.Run(name, func(t *testing.T) {
			backend := &fakeBackend{}
			if c.answer != nil {
				backend.do = func([]engine.Event, func([]engine.Answer)) *model.Error { return c.answer }
			}
			p := pipelinePost(t, backend)
			i := p.intake.Intake
			if c.body == "" {
				c.body = `{"id":"a",` + source + `}`
			}
			p.send(t, "shop", c.body)
			d := &delivery{source: p.deliver(t, intakeConsumer)}
			if c.before != nil {
				c.before(p, d)
			}
			last := stageIndex(t, c.stage)
			for n, s := range stages[:last+1] {
				want := stepNext
				if n == last {
					want = c.want
				}
				if got := i.runStage(s, d); got != want {
					t.Fatalf("%s: step %d, want %d", s.name, got, want)
				}
			}
			if c.want == stepWaits {
				testbed.Receive(t, i.decided)
			}
			if c.want == stepDecided || c.want == stepWaits {
				if got := d.outcome(); got != c.outcome {
					t.Fatalf("outcome %d, want %d", got, c.outcome)
				}
				if i.settle(d) == stepWaits {
					diverted := testbed.Receive(t, i.diverted)
					i.conclude(diverted, settlements[diverted.outcome()])
				}
				if len(i.inFlight) != 0 || len(i.slots) != 0 {
					t.Errorf("%d messages are in flight, %d slots are taken", len(i.inFlight), len(i.slots))
				}
			}
			testbed.Eventually(t, c.place, func() bool { return p.place(t) == c.place })
			verdict := ""
			if c.verdict != "" {
				m := testbed.Receive(t, p.verdicts)
				verdict = m.Subject[strings.LastIndex(m.Subject, ".")+1:]
			}
			if verdict != c.verdict || len(p.verdicts) != 0 {
				t.Errorf("the verdict is %q, want %q; %d more", verdict, c.verdict, len(p.verdicts))
			}
		})
	}
}

// TestSettlements_EachOutcomeHasOne checks that no outcome lacks its settlement.
func TestSettlements_EachOutcomeHasOne(t *testing.T) {
	for o, s := range settlements {
		if s.do == nil {
			t.Errorf("outcome %d has no settlement", o)
		}
	}
	if len(settlements) != int(outcomeDeadLetter)+1 {
		t.Errorf("%d settlements", len(settlements))
	}
}
