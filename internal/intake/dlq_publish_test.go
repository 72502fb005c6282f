package intake

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/aria-cluster/dispatcher/internal/engine"
	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/internal/wire"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// TestIntake_InvalidMessageBecomesOneDeadLetter checks that a message that can never be
// accepted is a dead letter once.
func TestIntake_InvalidMessageBecomesOneDeadLetter(t *testing.T) {
	p := newPost(t, &fakeBackend{do: func(ops []engine.Event, done func([]engine.Answer)) *model.Error {
		a := answerOp(ops[0])
		if op := ops[0].(engine.Submit); op.Spec.ID == "taken" {
			a = engine.Answer{Err: model.Errorf(model.CodeConflict, "id: the task taken belongs to another client").For("taken")}
		}
		go done([]engine.Answer{a})
		return nil
	}})
	torrent := base64.StdEncoding.EncodeToString([]byte("d4:infod4:name1:aee"))
	for _, c := range []struct{ name, client, body, reason, id string }{
		{"no JSON", "shop", `oh`, "body: is not JSON", ""},
		{"nothing", "shop", ``, "body: is empty", ""},
		{"an unknown field", "shop", `{"id":"a",` + source + `,"colour":"red"}`, `"colour": there is no such field`, "a"},
		{"a bad URL", "shop", `{"id":"a","url":"gopher://h/x"}`, "url: the scheme", "a"},
		{"a torrent", "shop", `{"id":"t1","torrent":"` + torrent + `"}`, "torrent: is not taken through the intake", "t1"},
		{"a metalink", "shop", `{"metalink":"` + torrent + `"}`, "metalink: is not taken through the intake", ""},
		{"a list", "shop", `{"tasks":[{` + source + `}]}`, "tasks: the intake takes one task a message", ""},
		{"an id that is taken", "shop", `{"id":"taken",` + source + `}`, "id: the task taken belongs to another client", "taken"},
		{"a client that none can be", "sch\u00f6n", `{` + source + `}`, "client: ", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := len(p.deadLetters(t))
			m := nats.NewMsg(wire.DefaultPrefix + ".intake." + c.client + ".submit")
			m.Data, m.Header = []byte(c.body), nats.Header{nats.MsgIdHdr: []string{"my " + c.name}, "Trace": []string{"abc"}, "Aria-Error": []string{"forged"}}
			ack, err := p.js.PublishMsg(testbed.Context(t), m)
			if err != nil {
				t.Fatal(err)
			}
			v := p.verdict(t)
			if v.Error == nil || !strings.HasPrefix(v.Error.Message, c.reason) || v.ID != c.id || v.Seq != ack.Sequence {
				t.Errorf("verdict %+v, %v", v, v.Error)
			}
			p.emptied(t)
			list := p.deadLetters(t)
			if len(list) != before+1 {
				t.Fatalf("%d dead letters, want one more than %d", len(list), before)
			}
			dead := list[before]
			client := c.client
			if !model.ValidName(client) {
				client = "_"
			}
			h := dead.Header
			if dead.Subject != wire.DefaultPrefix+".dlq.intake."+client || string(dead.Data) != c.body {
				t.Errorf("%s: %s", dead.Subject, dead.Data)
			}
			if !strings.HasPrefix(h.Get("Aria-Error"), c.reason) || h.Get("Aria-Error-Code") != fmt.Sprint(int(v.Error.Code)) ||
				h.Get("Aria-Sequence") != fmt.Sprint(ack.Sequence) || h.Get("Aria-Stream") != "ARIA_INTAKE" || h.Get("Aria-Msg-Id") != "my "+c.name ||
				h.Get("Aria-Subject") != m.Subject || h.Get("Trace") != "abc" || len(h["Aria-Error"]) != 1 {
				t.Errorf("headers %v", h)
			}
		})
	}
}

// TestPublishDeadLetter_RepeatedIsStoredOnce checks that NATS drops a repeated dead
// letter by its id.
func TestPublishDeadLetter_RepeatedIsStoredOnce(t *testing.T) {
	p := newPost(t, &fakeBackend{})
	d := delivery{
		msg:    &intakeMsg{origin: origin{seq: 5, at: time.Unix(1_700_000_000, 42)}, client: "shop", subject: "s", data: []byte("x")},
		answer: engine.Answer{Err: model.Errorf(model.CodeInvalid, "url: is missing")},
	}
	for range 3 { // the dispatcher was killed before it could acknowledge the message
		if err := p.intake.publish(wire.StreamDLQ, p.intake.newDeadLetter(&d)); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(p.deadLetters(t)); n != 1 {
		t.Errorf("%d dead letters", n)
	}
}

// TestDeadLetter_StoredOnceAfterDuplicateWindow checks that a dead letter is stored
// once after NATS has forgotten its id.
func TestDeadLetter_StoredOnceAfterDuplicateWindow(t *testing.T) {
	p := newPost(t, &fakeBackend{})
	stream, err := p.js.Stream(testbed.Context(t), "ARIA_DLQ")
	if err != nil {
		t.Fatal(err)
	}
	config := stream.CachedInfo().Config
	if config.Duplicates != deadWindow {
		t.Errorf("NATS knows a letter for %v", config.Duplicates)
	}
	config.Duplicates = 100 * time.Millisecond // in the place of a long outage
	if _, err := p.js.UpdateStream(testbed.Context(t), config); err != nil {
		t.Fatal(err)
	}
	stopped := func(i *running) *Intake { // the test takes the place of the goroutine that puts aside
		stopIntake(t, i)
		i.ctx = t.Context()
		return i.Intake
	}
	stopped(p.intake)
	acked := 0
	bad := func(seq uint64) *delivery {
		stored := p.send(t, "shop", `{}`) // it was parked, and its first place is older
		return &delivery{
			msg:    &intakeMsg{place: place{seq: stored, at: p.storedAt(t, stored).UnixNano()}, origin: origin{seq: seq, at: time.Now().Add(-deadWindow)}, delivered: 1, client: "shop", subject: "s", data: []byte("x"), ack: func() error { acked++; return nil }},
			answer: engine.Answer{Err: model.Errorf(model.CodeInvalid, "url: is missing")},
		}
	}
	first, second, third := bad(5), bad(6), bad(7)
	for _, d := range []*delivery{first, second} {
		if err := p.intake.publishDeadLetter(d); err != nil { // and the dispatcher is killed before it acknowledges it
			t.Fatal(err)
		}
	}
	testbed.Eventually(t, "NATS has forgotten them", func() bool {
		ack, err := p.js.PublishMsg(testbed.Context(t), p.intake.newDeadLetter(second))
		return err == nil && !ack.Duplicate
	})
	next := stopped(p.start(t, p.backend))
	for _, d := range []*delivery{first, third, first} {
		settlements[d.outcome()].do(next, d)
	}
	places := make(map[string]int)
	for _, m := range p.deadLetters(t) {
		places[m.Header.Get("Aria-Sequence")]++
	}
	if places["5"] != 1 || places["7"] != 1 || acked != 3 {
		t.Errorf("letters %v, %d of 3 messages were acknowledged", places, acked)
	}
}

// TestDLQIndex_IsNotReadForEachMessage checks that the ids of the dead letters are
// cached.
func TestDLQIndex_IsNotReadForEachMessage(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	seen, failed := map[deadID]struct{}{}, errors.New("no answer")
	for _, c := range []struct {
		name  string
		index dlqIndex
		want  bool
	}{
		{"never looked at", dlqIndex{}, true},
		{"just looked at", dlqIndex{ids: seen, at: now.Add(-time.Second)}, false},
		{"looked at long ago", dlqIndex{ids: seen, at: now.Add(-deadWindow/2 - time.Second)}, true},
		{"just failed", dlqIndex{err: failed, at: now.Add(-time.Second)}, false},
		{"failed a while ago", dlqIndex{err: failed, at: now.Add(-dlqReadRetry - time.Second)}, true},
	} {
		if got := c.index.isStale(now); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}
