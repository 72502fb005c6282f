package intake

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/oklog/ulid/v2"

	"github.com/aria-cluster/dispatcher/internal/engine"
	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/internal/wire"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// TestIntake_MessageBecomesTaskOfClient checks that a message becomes a task of the
// client of its subject.
func TestIntake_MessageBecomesTaskOfClient(t *testing.T) {
	p := newPost(t, &fakeBackend{})
	m := nats.NewMsg(wire.DefaultPrefix + ".intake.shop.submit")
	m.Data, m.Header = []byte(`{`+source+`}`), nats.Header{nats.MsgIdHdr: []string{"order-7"}}
	ack, err := p.js.PublishMsg(testbed.Context(t), m)
	if err != nil {
		t.Fatal(err)
	}
	v := p.verdict(t)
	if v.Seq != ack.Sequence || v.Client != "shop" || v.MsgID != "order-7" || v.Status != model.StatusPending || v.Error != nil || v.At == 0 {
		t.Errorf("verdict %+v", v)
	}
	op := p.backend.taken()[0].(engine.Submit)
	if _, err := ulid.ParseStrict(op.Spec.ID); err != nil || v.ID != op.Spec.ID {
		t.Errorf("id %q, and %q in the verdict (%v)", op.Spec.ID, v.ID, err)
	}
	if op.Client != "shop" || !op.Chosen || op.Hash != op.Spec.Hash() {
		t.Errorf("the backend got %+v", op)
	}
	p.send(t, "shop", `{"id":"mine",`+source+`}`)
	if v := p.verdict(t); v.ID != "mine" || v.MsgID != "" {
		t.Errorf("verdict %+v", v)
	}
	p.emptied(t)
	if n := len(p.deadLetters(t)); n != 0 {
		t.Errorf("%d dead letters", n)
	}
}

// TestIntake_AcknowledgesAfterCommitOnly checks that a message stays in the stream
// until its task is committed.
func TestIntake_AcknowledgesAfterCommitOnly(t *testing.T) {
	t.Parallel() // it waits for NATS, most of its time
	p, taken := newHoldingPost(t)
	p.send(t, "shop", `{`+source+`}`)
	h := testbed.Receive(t, taken)
	consumer, err := p.js.Consumer(testbed.Context(t), "ARIA_INTAKE", "dispatcher")
	if err != nil {
		t.Fatal(err)
	}
	testbed.Eventually(t, "NATS sends it again", func() bool {
		info, err := consumer.Info(testbed.Context(t))
		return err == nil && info.NumRedelivered == 1
	})
	again := p.intake.newMsg(1, p.storedAt(t, 1), wire.DefaultPrefix+".intake.shop.submit", nil, []byte(`{`+source+`}`))
	p.intake.process(&delivery{msg: again}) // as it comes from NATS
	if n := p.left(t); n != 1 || len(p.verdicts) != 0 || len(taken) != 0 {
		t.Fatalf("before the commit %d messages are left, %d verdicts were told, and the backend has %d more", n, len(p.verdicts), len(taken))
	}
	go func() { // what NATS has sent again may be on its way still
		for more := range taken {
			more.done([]engine.Answer{answerOp(more.op)})
		}
	}()
	h.done([]engine.Answer{answerOp(h.op)})
	p.verdict(t)
	p.emptied(t)
}

// TestIntake_RedeliveredMessageKeepsTaskID checks that a message that the next
// dispatcher receives has the same task id.
func TestIntake_RedeliveredMessageKeepsTaskID(t *testing.T) {
	t.Parallel() // it waits for NATS, most of its time
	ids := make(chan string, 10)
	p := newPost(t, &fakeBackend{do: func(ops []engine.Event, _ func([]engine.Answer)) *model.Error {
		ids <- ops[0].(engine.Submit).Spec.ID
		return nil // and dies before it answers
	}})
	p.send(t, "shop", `{`+source+`}`)
	first := testbed.Receive(t, ids)
	p.intake.stopTimeout = 50 * time.Millisecond
	if err := p.intake.run.Stop(t); err == nil || !strings.Contains(err.Error(), "without a decision") {
		t.Errorf("Run: %v, want that a message has no decision", err)
	}
	p.start(t, &fakeBackend{})
	if v := p.verdict(t); v.ID != first {
		t.Errorf("it was %s and is %s", first, v.ID)
	}
	p.emptied(t)
}

// TestIntake_UnacknowledgedMessagesComeFirstInOrder checks that the next dispatcher
// receives unacknowledged messages first, in order.
func TestIntake_UnacknowledgedMessagesComeFirstInOrder(t *testing.T) {
	taken := make(chan struct{}, 100)
	p := newPost(t, &fakeBackend{do: func([]engine.Event, func([]engine.Answer)) *model.Error {
		taken <- struct{}{}
		return nil // and is killed before it answers
	}})
	const left, messages = 20, 40
	for n := range left {
		p.send(t, "shop", fmt.Sprintf(`{"id":"t%d",%s}`, n, source))
	}
	for range left {
		testbed.Receive(t, taken)
	}
	p.intake.stopTimeout = time.Millisecond
	if err := p.intake.run.Stop(t); err == nil {
		t.Error("it stopped with messages undecided")
	}
	for n := left; n < messages; n++ {
		p.send(t, "shop", fmt.Sprintf(`{"id":"t%d",%s}`, n, source))
	}
	next := &fakeBackend{}
	begun := time.Now()
	p.start(t, next)
	p.emptied(t)
	if took := time.Since(begun); took >= intakeAckWait {
		t.Errorf("it took %v", took)
	}
	for n, op := range next.taken() {
		if id := op.(engine.Submit).Spec.ID; id != fmt.Sprint("t", n) {
			t.Fatalf("the task %s came as number %d", id, n)
		}
	}
	if n := len(next.taken()); n != messages {
		t.Errorf("%d came, want %d", n, messages)
	}
}

// TestIntakeID_DependsOnStreamSequenceAndTime checks that a task id depends on stream,
// sequence and time.
func TestIntakeID_DependsOnStreamSequenceAndTime(t *testing.T) {
	at := time.UnixMilli(1_700_000_000_123)
	id := intakeID("ARIA_INTAKE", &intakeMsg{origin: origin{seq: 7, at: at}})
	if parsed, err := ulid.ParseStrict(id); err != nil || int64(parsed.Time()) != at.UnixMilli() {
		t.Fatalf("%s is no ULID of its time: %v", id, err)
	}
	for name, other := range map[string]string{
		"another place":         intakeID("ARIA_INTAKE", &intakeMsg{origin: origin{seq: 8, at: at}}),
		"another stream":        intakeID("ARIA_INTAKE_x", &intakeMsg{origin: origin{seq: 7, at: at}}),
		"a recreated stream":    intakeID("ARIA_INTAKE", &intakeMsg{origin: origin{seq: 7, at: at.Add(time.Nanosecond)}}),
		"sequence and time mix": intakeID("ARIA_INTAKE", &intakeMsg{origin: origin{seq: 71, at: at}}),
	} {
		if other == id {
			t.Errorf("%s has the same id", name)
		}
	}
	if again := intakeID("ARIA_INTAKE", &intakeMsg{origin: origin{seq: 7, at: at.UTC()}, delivered: 5}); again != id {
		t.Errorf("it came again as %s", again)
	}
}

// TestIntake_RetriesWhileBackendRefuses checks that a message is retried after each
// temporary error.
func TestIntake_RetriesWhileBackendRefuses(t *testing.T) {
	t.Parallel() // it waits for NATS, most of its time
	var tries atomic.Int64
	p := newPost(t, &fakeBackend{do: func(ops []engine.Event, done func([]engine.Answer)) *model.Error {
		switch n := tries.Add(1); {
		case n <= 5: // the inbox is full
			return model.Errorf(model.CodeUnavailable, "the inbox is full")
		case n == 6: // the store fails
			go done([]engine.Answer{{Err: model.Errorf(model.CodeUnavailable, "the store could not be written")}})
		case n == 7:
			go done([]engine.Answer{{Err: model.Errorf(model.CodeTooMany, "limits.max_pending: 5 tasks are pending already")}})
		case n == 8:
			go done([]engine.Answer{{Err: model.Errorf(model.CodeInternal, "a bug")}})
		default:
			go done([]engine.Answer{answerOp(ops[0])})
		}
		return nil
	}})
	p.send(t, "shop", `{`+source+`}`)
	if v := p.verdict(t); v.Error != nil {
		t.Errorf("the first verdict is %+v", v.Error)
	}
	p.emptied(t)
	if n := len(p.deadLetters(t)); n != 0 || tries.Load() != 9 {
		t.Errorf("%d dead letters after %d tries", n, tries.Load())
	}
}

// TestIntake_KeepsOrderOfMessages checks that the backend first gets messages in the order of
// the stream. A machine that stands still for the time of an acknowledgement gets some again.
func TestIntake_KeepsOrderOfMessages(t *testing.T) {
	const messages = 3000
	var full atomic.Int64
	backend := &fakeBackend{}
	var order []string
	seen := make(map[string]bool)
	var mu sync.Mutex
	backend.do = func(ops []engine.Event, done func([]engine.Answer)) *model.Error {
		if full.Add(1)%97 == 0 {
			return model.Errorf(model.CodeUnavailable, "the inbox is full")
		}
		mu.Lock()
		if id := ops[0].(engine.Submit).Spec.ID; !seen[id] {
			order, seen[id] = append(order, id), true
		}
		mu.Unlock()
		go done([]engine.Answer{answerOp(ops[0])})
		return nil
	}
	p := newPost(t, backend)
	stopIntake(t, p.intake) // they are sent while no dispatcher consumes them
	var want []string
	for n := range messages {
		want = append(want, fmt.Sprint("t", n))
		if _, err := p.js.PublishAsync(wire.DefaultPrefix+".intake.shop.submit", []byte(`{"id":"`+want[n]+`",`+source+`}`)); err != nil {
			t.Fatal(err)
		}
	}
	<-p.js.PublishAsyncComplete()
	p.start(t, backend)
	for range messages {
		p.verdict(t)
	}
	p.emptied(t)
	mu.Lock()
	defer mu.Unlock()
	if !slices.Equal(order, want) {
		t.Errorf("%d came, not in their order or not all", len(order))
	}
}

// TestIntake_AcceptsAtomicBatch checks that each message of an atomic batch is
// accepted.
func TestIntake_AcceptsAtomicBatch(t *testing.T) {
	p := newPost(t, &fakeBackend{})
	const size = 100
	for n := 1; n <= size; n++ {
		m := nats.NewMsg(wire.DefaultPrefix + ".intake.shop.submit")
		m.Data = fmt.Appendf(nil, `{"id":"t%d",%s}`, n, source)
		m.Header.Set("Nats-Batch-Id", "b1")
		m.Header.Set("Nats-Batch-Sequence", fmt.Sprint(n))
		if n < size {
			if err := p.nc.PublishMsg(m); err != nil {
				t.Fatal(err)
			}
			continue
		}
		m.Header.Set("Nats-Batch-Commit", "1")
		answer, err := p.nc.RequestMsgWithContext(testbed.Context(t), m)
		if err != nil || strings.Contains(string(answer.Data), "error") {
			t.Fatalf("%s, %v", answer.Data, err)
		}
	}
	for range size {
		if v := p.verdict(t); v.Error != nil {
			t.Errorf("verdict %+v", v)
		}
	}
	p.emptied(t)
}

// TestIntakeStop_UnderLoadLosesNothing checks that a stop under load leaves the other
// messages to the next dispatcher.
func TestIntakeStop_UnderLoadLosesNothing(t *testing.T) {
	p := newPost(t, &fakeBackend{})
	const messages = 500
	for n := range messages {
		if _, err := p.js.PublishAsync(wire.DefaultPrefix+".intake.shop.submit", fmt.Appendf(nil, `{"id":"t%d",%s}`, n, source)); err != nil {
			t.Fatal(err)
		}
	}
	seen := make(map[uint64]int)
	seen[p.verdict(t).Seq]++ // some of them are on their way
	stopIntake(t, p.intake)
	stopIntake(t, p.intake) // again
	if n := len(p.intake.inFlight); n != 0 {
		t.Errorf("%d messages are still being decided on", n)
	}
	<-p.js.PublishAsyncComplete()
	p.start(t, p.backend)
	p.emptied(t)
	for len(seen) < messages {
		seen[p.verdict(t).Seq]++
	}
	for seq, n := range seen {
		if n != 1 {
			t.Errorf("%d was told %d times", seq, n)
		}
	}
	for n, op := range p.backend.taken() { // of both
		if id := op.(engine.Submit).Spec.ID; id != fmt.Sprint("t", n) {
			t.Fatalf("the task %s came as number %d", id, n)
		}
	}
}

// TestIntake_UnpublishedVerdictIsNotAcknowledged checks that a message without a
// published verdict is not acknowledged.
func TestIntake_UnpublishedVerdictIsNotAcknowledged(t *testing.T) {
	p := newPost(t, &fakeBackend{})
	acked := false
	d := delivery{msg: &intakeMsg{client: "shop", ack: func() error { acked = true; return nil }}, answer: engine.Answer{Task: &model.Task{}}}
	stopIntake(t, p.intake)
	if err := p.intake.connection.Drain(testbed.Context(t)); err != nil {
		t.Fatal(err)
	}
	p.intake.finish(&d)
	if acked {
		t.Error("it was acknowledged")
	}
	if err := p.intake.publishVerdict(&d); !errors.Is(err, nats.ErrConnectionClosed) {
		t.Error(err)
	}
}
