package intake

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
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
	"github.com/aria-cluster/dispatcher/pkg/bus"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// TestIntake_DecidesUndeliverableMessages checks that messages that NATS no longer
// delivers are read from the stream.
func TestIntake_DecidesUndeliverableMessages(t *testing.T) {
	t.Parallel() // it waits for NATS, most of its time
	var fail atomic.Bool
	fail.Store(true)
	p := newPost(t, &fakeBackend{do: func(ops []engine.Event, done func([]engine.Answer)) *model.Error {
		a := answerOp(ops[0])
		if fail.Load() {
			a = engine.Answer{Err: model.Errorf(model.CodeUnavailable, "the store could not be written")}
		}
		go done([]engine.Answer{a})
		return nil
	}})
	consumer, err := p.js.Consumer(testbed.Context(t), "ARIA_INTAKE", "dispatcher")
	if err != nil {
		t.Fatal(err)
	}
	config := consumer.CachedInfo().Config
	config.MaxDeliver = 2 // an operator's idea
	if _, err := p.js.UpdateConsumer(testbed.Context(t), "ARIA_INTAKE", config); err != nil {
		t.Fatal(err)
	}
	given := make(chan *nats.Msg, 10)
	if _, err := p.nc.ChanSubscribe("$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.>", given); err != nil {
		t.Fatal(err)
	}
	first := p.send(t, "shop", `{"id":"a",`+source+`}`)
	bad := p.send(t, "shop", `{"id":"b"}`)
	if v := p.verdict(t); v.Seq != bad {
		t.Errorf("verdict %+v", v)
	}
	testbed.Receive(t, given)
	testbed.Eventually(t, "it was tried twice, and once more when the advisory came", func() bool {
		p.intake.mu.Lock()
		defer p.intake.mu.Unlock()
		return len(p.backend.taken()) >= 3 && len(p.intake.inFlight) == 0
	})
	fail.Store(false)
	p.intake.undelivered <- first // the advisory came while the store still failed
	if v := p.verdict(t); v.Seq != first || v.Error != nil {
		t.Errorf("verdict %+v", v)
	}
	p.emptied(t)
	if n := len(p.deadLetters(t)); n != 1 {
		t.Errorf("%d dead letters, want that of the invalid one", n)
	}
	// Without any advisory it is found by looking.
	fail.Store(true)
	tries := len(p.backend.taken())
	p.send(t, "shop", `{"id":"c",`+source+`}`)
	testbed.Receive(t, given)
	testbed.Eventually(t, "it was tried twice, and once more when the advisory came", func() bool { return len(p.backend.taken()) >= tries+3 })
	fail.Store(false)
	testbed.Eventually(t, "the consumer has left it behind, and it is found", func() bool {
		stream, err := p.intake.openStream(p.intake.current())
		if err != nil {
			t.Fatal(err)
		}
		p.intake.scanUndelivered(stream)
		return p.left(t) == 0
	})
	v := p.verdict(t)
	for v.Seq == first { // two advisories of one message: its verdict may be published twice
		v = p.verdict(t)
	}
	if v.ID != "c" {
		t.Errorf("verdict %+v", v)
	}
}

// TestIntake_UndeliverableFaultBecomesDeadLetter checks that a message that NATS no longer
// delivers, and that fails by a bug each time, is a dead letter after as many tries as
// others, and that a parked one moves behind the others instead of staying in its place.
func TestIntake_UndeliverableFaultBecomesDeadLetter(t *testing.T) {
	ofClient := model.Errorf(model.CodeTooMany, "limits.client_pending: reached")
	ofClient.OfClient = true
	bug := model.Errorf(model.CodeInternal, "a bug")
	for name, c := range map[string]struct {
		consumer, subject string
		err               *model.Error
		outcomes          []outcome // of each try
		place             string    // after them
	}{
		"a bug":                   {intakeConsumer, "submit", bug, append(slices.Repeat([]outcome{outcomeRetry}, maxBugTries-1), outcomeDeadLetter), "waiting 0, parked 0, dead 1"},
		"above its limit":         {intakeConsumer, "submit", ofClient, []outcome{outcomePark}, "waiting 0, parked 1, dead 0"},
		"parked, above its limit": {parkedConsumer, "parked", ofClient, []outcome{outcomeRetryPlace, outcomePark}, "waiting 0, parked 1, dead 0"},
	} {
		t.Run(name, func(t *testing.T) {
			p := pipelinePost(t, &fakeBackend{do: func([]engine.Event, func([]engine.Answer)) *model.Error { return c.err }})
			i := p.intake.Intake
			consumer, err := p.js.Consumer(testbed.Context(t), "ARIA_INTAKE", c.consumer)
			if err != nil {
				t.Fatal(err)
			}
			config := consumer.CachedInfo().Config
			config.MaxDeliver, config.AckWait = 1, 10*time.Millisecond // an operator's idea
			if consumer, err = p.js.UpdateConsumer(testbed.Context(t), "ARIA_INTAKE", config); err != nil {
				t.Fatal(err)
			}
			if _, err := p.js.Publish(testbed.Context(t), wire.DefaultPrefix+".intake.shop."+c.subject, []byte(`{"id":"a",`+source+`}`)); err != nil {
				t.Fatal(err)
			}
			p.deliver(t, c.consumer)
			testbed.Eventually(t, "NATS no longer delivers it", func() bool {
				info, err := consumer.Info(testbed.Context(t))
				return err == nil && info.NumAckPending == 0
			})
			for n, want := range c.outcomes {
				stream, err := i.openStream(i.current())
				if err != nil {
					t.Fatal(err)
				}
				i.scanUndelivered(stream)
				d := testbed.Receive(t, i.decided)
				if got := d.outcome(); got != want {
					t.Fatalf("try %d: outcome %d, want %d", n, got, want)
				}
				if i.settleBatch(d); settlements[want].diverted {
					i.conclude(testbed.Receive(t, i.diverted), settlements[want])
				}
			}
			if got := p.place(t); got != c.place {
				t.Errorf("after the tries: %s, want %s", got, c.place)
			}
		})
	}
}

// TestIntake_DecidesWhatAFilterSkipped checks that messages are decided that the consumer
// has passed over while an operator had narrowed its filter: NATS delivers them neither
// now nor after EnsureStreams has restored it.
func TestIntake_DecidesWhatAFilterSkipped(t *testing.T) {
	t.Parallel() // it waits for NATS, most of its time
	p := newPost(t, &fakeBackend{})
	consumer, err := p.js.Consumer(testbed.Context(t), "ARIA_INTAKE", "dispatcher")
	if err != nil {
		t.Fatal(err)
	}
	config := consumer.CachedInfo().Config
	config.FilterSubject = wire.DefaultPrefix + ".intake.shop.submit"
	if consumer, err = p.js.UpdateConsumer(testbed.Context(t), "ARIA_INTAKE", config); err != nil {
		t.Fatal(err)
	}
	p.send(t, "press", `{"id":"before",`+source+`}`)
	p.send(t, "shop", `{`+source+`}`)
	p.verdict(t)
	p.send(t, "press", `{"id":"after",`+source+`}`)
	batch, err := consumer.Fetch(1, jetstream.FetchMaxWait(time.Second)) // the consumer looks at it
	if err != nil {
		t.Fatal(err)
	}
	for m := range batch.Messages() {
		t.Errorf("delivered %s", m.Subject())
	}
	if err := EnsureStreams(testbed.Context(t), p.nc, streamOptions()); err != nil {
		t.Fatal(err)
	}
	stream, err := p.intake.openStream(p.intake.current())
	if err != nil {
		t.Fatal(err)
	}
	if info, err := consumer.Info(testbed.Context(t)); err != nil || info.NumPending != 0 || p.left(t) != 2 {
		t.Fatalf("%v, %+v, %d messages left; want 2 that the consumer does not count", err, info, p.left(t))
	}
	p.intake.scanUndelivered(stream)
	for _, want := range []string{"before", "after"} {
		if v := p.verdict(t); v.ID != want || v.Error != nil {
			t.Errorf("verdict %+v, want that of %s", v, want)
		}
	}
	p.emptied(t)
}

// TestIntake_ContinuesAfterStreamRemoval checks that a removed stream is created again.
func TestIntake_ContinuesAfterStreamRemoval(t *testing.T) {
	p := newPost(t, &fakeBackend{})
	for _, remove := range []func() error{
		func() error { return p.js.DeleteConsumer(testbed.Context(t), "ARIA_INTAKE", "dispatcher") },
		func() error { return p.js.DeleteStream(testbed.Context(t), "ARIA_INTAKE") },
	} {
		if err := remove(); err != nil {
			t.Fatal(err)
		}
		testbed.Eventually(t, "the stream and its consumer are back", func() bool {
			_, err := p.js.Consumer(testbed.Context(t), "ARIA_INTAKE", "dispatcher")
			return err == nil
		})
		p.send(t, "shop", `{`+source+`}`)
		p.verdict(t)
	}
	if err := p.js.DeleteStream(testbed.Context(t), "ARIA_DLQ"); err != nil {
		t.Fatal(err)
	}
	p.send(t, "shop", `{}`)
	p.verdict(t)
	if n := len(p.deadLetters(t)); n != 1 {
		t.Errorf("%d dead letters in the new stream", n)
	}
	if err := p.js.DeleteStream(testbed.Context(t), "ARIA_DLQ"); err != nil {
		t.Fatal(err)
	}
	if ids, err := p.intake.readDeadIDs(); err != nil || len(ids) != 0 {
		t.Errorf("without a stream there are the letters %v, %v", ids, err)
	}
	p.emptied(t)
}

// TestIntake_StartsWhenJetStreamComes checks that the intake starts without JetStream
// and uses it later.
func TestIntake_StartsWhenJetStreamComes(t *testing.T) {
	log, store := &testbed.Log{}, t.TempDir()
	s := testnats.Start(t, &server.Options{})
	nc, err := bus.Connect(testbed.Context(t), bus.Options{URL: s.ClientURL()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	run(t, testbus.Open(t, nc.ConnectedUrl()), &fakeBackend{}, log.Logger())
	testbed.Eventually(t, "it says what it waits for", func() bool { return strings.Contains(log.String(), "waits for its stream") })
	if err := s.EnableJetStream(&server.JetStreamConfig{StoreDir: store}); err != nil {
		t.Fatal(err)
	}
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	testbed.Eventually(t, "it takes a submission", func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_, err := js.Publish(ctx, wire.DefaultPrefix+".intake.shop.submit", []byte(`{`+source+`}`))
		return err == nil
	})
	testbed.Eventually(t, "and has it decided on", func() bool {
		stream, err := js.Stream(testbed.Context(t), "ARIA_INTAKE")
		return err == nil && stream.CachedInfo().State.Msgs == 0
	})
	if n := strings.Count(log.String(), "waits for its stream"); n != 1 {
		t.Errorf("said %d times", n)
	}
}

// TestIntake_ClientAtLimitDelaysNoOther checks that messages above the limits of one
// client are parked.
func TestIntake_ClientAtLimitDelaysNoOther(t *testing.T) {
	t.Parallel()                         // it waits for NATS, most of its time
	const messages = intakePending + 300 // more than may be on their way
	var free atomic.Bool
	p := newPost(t, &fakeBackend{do: func(ops []engine.Event, done func([]engine.Answer)) *model.Error {
		a := answerOp(ops[0])
		if op := ops[0].(engine.Submit); op.Client == "greedy" && !free.Load() {
			a = engine.Answer{Err: &model.Error{Code: model.CodeTooMany, Message: "5 tasks of the client greedy wait already", OfClient: true}}
		}
		go done([]engine.Answer{a})
		return nil
	}})
	var acks []jetstream.PubAckFuture
	for n := range messages {
		m := nats.NewMsg(wire.DefaultPrefix + ".intake.greedy.submit")
		m.Data, m.Header = []byte(`{`+source+`}`), nats.Header{nats.MsgIdHdr: []string{fmt.Sprint("g", n)}}
		ack, err := p.js.PublishMsgAsync(m, jetstream.WithStallWait(testbed.Patience))
		if err != nil {
			t.Fatal(err)
		}
		acks = append(acks, ack)
	}
	first := make(map[uint64]string) // the messages by their first place: parked ones take places between them
	for n, ack := range acks {
		select {
		case a := <-ack.Ok():
			first[a.Sequence] = fmt.Sprint("g", n)
		case err := <-ack.Err():
			t.Fatal(err)
		}
	}
	modest := p.send(t, "modest", `{`+source+`}`)
	if v := p.verdict(t); v.Client != "modest" || v.Seq != modest {
		t.Errorf("the first verdict is %+v", v)
	}
	ids := make(map[string]bool)
	for _, op := range p.backend.taken() {
		ids[op.(engine.Submit).Spec.ID] = true
	}
	free.Store(true)
	seen := make(map[uint64]model.IntakeVerdict)
	for len(seen) < messages {
		v := p.verdict(t)
		before, again := seen[v.Seq]
		if again && before.ID == v.ID { // a verdict may be published twice
			continue
		}
		if again || v.Error != nil || v.MsgID == "" || v.MsgID != first[v.Seq] || !ids[v.ID] {
			t.Fatalf("verdict %+v, said already %v: want the first place of each message, and the id that it had at first", v, again)
		}
		seen[v.Seq] = v
	}
	p.emptied(t)
}

// TestParseOrigin_RejectsInvalidText checks that an invalid origin header is ignored.
func TestParseOrigin_RejectsInvalidText(t *testing.T) {
	i := &Intake{subjects: wire.Subjects{Prefix: wire.DefaultPrefix}}
	at := time.Unix(1_700_000_000, 5)
	for origin, want := range map[string]uint64{"7:1600000000000000000": 7, "": 9, "7": 9, "x:1": 9, "-1:1": 9, "7:1:1": 7, "7:1:1:1": 9, "7:1:x": 9, "99999999999999999999:1": 9} {
		header := nats.Header{headerOrigin: []string{origin}}
		if l := i.newMsg(9, at, wire.DefaultPrefix+".intake.shop.parked", header, nil); l.seq != want || l.place.seq != 9 || !l.parked {
			t.Errorf("%q: %+v", origin, l)
		}
		if l := i.newMsg(9, at, wire.DefaultPrefix+".intake.shop.submit", header, nil); l.seq != 9 || l.parked {
			t.Errorf("%q in a client's message: %+v", origin, l)
		}
	}
}
