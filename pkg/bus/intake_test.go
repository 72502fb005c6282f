package bus

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/oklog/ulid/v2"

	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/pkg/engine"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// post is an intake on a backend, and a client's connection.
type post struct {
	server   *Server
	backend  *fakeBackend
	intake   *Intake
	nc       *nats.Conn
	js       jetstream.JetStream
	verdicts chan *nats.Msg
}

func streamOptions() StreamOptions {
	return StreamOptions{Prefix: DefaultPrefix, Replicas: 1, Intake: true, IntakeMessages: 10_000, IntakeBytes: 16 << 20}
}

func newPost(t testing.TB, backend *fakeBackend) *post {
	t.Helper()
	s := startServer(t)
	p := &post{server: s, backend: backend, nc: connect(t, s), verdicts: make(chan *nats.Msg, 4096)}
	var err error
	if p.js, err = jetstream.New(p.nc); err != nil {
		t.Fatal(err)
	}
	if _, err := p.nc.ChanSubscribe(DefaultPrefix+".evt.intake.>", p.verdicts); err != nil {
		t.Fatal(err)
	}
	if err := p.nc.Flush(); err != nil {
		t.Fatal(err)
	}
	p.intake = p.start(t, backend)
	return p
}

// start starts an intake as a dispatcher does, with a connection of its own.
func (p *post) start(t testing.TB, backend Backend) *Intake {
	t.Helper()
	i, err := StartIntake(testbed.Context(t), connect(t, p.server), backend, streamOptions(), slog.New(slog.NewTextHandler(t.Output(), nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stopIntake(t, i) })
	return i
}

func stopIntake(t testing.TB, i *Intake) {
	ctx, cancel := context.WithTimeout(context.Background(), testbed.Patience)
	defer cancel()
	if err := i.Stop(ctx); err != nil {
		t.Error(err)
	}
}

// send puts a submission into the stream, as a client does, and returns its
// sequence.
func (p *post) send(t testing.TB, client, body string) uint64 {
	t.Helper()
	ack, err := p.js.Publish(testbed.Context(t), DefaultPrefix+".intake."+client+".submit", []byte(body))
	if err != nil {
		t.Fatal(err)
	}
	return ack.Sequence
}

// verdict waits for the next verdict, and checks that its subject says the same.
func (p *post) verdict(t testing.TB) model.IntakeVerdict {
	t.Helper()
	m := testbed.Receive(t, p.verdicts)
	var v model.IntakeVerdict
	if err := json.Unmarshal(m.Data, &v); err != nil {
		t.Fatalf("%s: %v", m.Data, err)
	}
	word := "accepted"
	if v.Error != nil {
		word = "rejected"
	}
	if want := fmt.Sprintf("%s.evt.intake.%s.%d.%s", DefaultPrefix, v.Client, v.Seq, word); m.Subject != want {
		t.Errorf("the verdict %s came on %s, want %s", m.Data, m.Subject, want)
	}
	return v
}

// left is how many messages the intake still holds.
func (p *post) left(t testing.TB) uint64 {
	t.Helper()
	s, err := p.js.Stream(testbed.Context(t), "ARIA_INTAKE")
	if err != nil {
		t.Fatal(err)
	}
	return s.CachedInfo().State.Msgs
}

func (p *post) emptied(t testing.TB) {
	t.Helper()
	testbed.Eventually(t, "the stream is empty", func() bool { return p.left(t) == 0 })
}

// deadLetters reads all of them.
func (p *post) deadLetters(t testing.TB) []*jetstream.RawStreamMsg {
	t.Helper()
	s, err := p.js.Stream(testbed.Context(t), "ARIA_DLQ")
	if err != nil {
		t.Fatal(err)
	}
	var list []*jetstream.RawStreamMsg
	for seq := uint64(1); seq <= s.CachedInfo().State.LastSeq; seq++ {
		m, err := s.GetMsg(testbed.Context(t), seq)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, m)
	}
	return list
}

func TestAMessageOfTheIntakeIsATaskOfItsClient(t *testing.T) {
	p := newPost(t, &fakeBackend{})
	m := nats.NewMsg(DefaultPrefix + ".intake.shop.submit")
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

func TestAMessageIsAcknowledgedAfterItsCommitOnly(t *testing.T) {
	t.Parallel() // it waits for NATS, most of its time
	type held struct {
		op   engine.Submit
		done func([]model.Answer)
	}
	taken := make(chan held, 10)
	p := newPost(t, &fakeBackend{do: func(ops []engine.Event, done func([]model.Answer)) *model.Error {
		taken <- held{ops[0].(engine.Submit), done}
		return nil
	}})
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
	again := p.intake.letter(1, time.Now(), DefaultPrefix+".intake.shop.submit", nil, []byte(`{`+source+`}`))
	p.intake.decide(again) // as it comes from NATS
	if n := p.left(t); n != 1 || len(p.verdicts) != 0 || len(taken) != 0 {
		t.Fatalf("before the commit %d messages are left, %d verdicts were told, and the backend has %d more", n, len(p.verdicts), len(taken))
	}
	go func() { // what NATS has sent again may be on its way still
		for more := range taken {
			more.done([]model.Answer{answerOp(more.op)})
		}
	}()
	h.done([]model.Answer{answerOp(h.op)})
	p.verdict(t)
	p.emptied(t)
}

func TestWhatADispatcherLeftUndecidedComesToTheNextWithTheSameID(t *testing.T) {
	t.Parallel() // it waits for NATS, most of its time
	ids := make(chan string, 10)
	p := newPost(t, &fakeBackend{do: func(ops []engine.Event, _ func([]model.Answer)) *model.Error {
		ids <- ops[0].(engine.Submit).Spec.ID
		return nil // and dies before it answers
	}})
	p.send(t, "shop", `{`+source+`}`)
	first := testbed.Receive(t, ids)
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if err := p.intake.Stop(ctx); err == nil || !strings.Contains(err.Error(), "not decided on") {
		t.Errorf("Stop: %v, want that a message is not decided on", err)
	}
	p.start(t, &fakeBackend{})
	if v := p.verdict(t); v.ID != first {
		t.Errorf("it was %s and is %s", first, v.ID)
	}
	p.emptied(t)
}

func TestWhatWasLeftUndecidedComesToTheNextFirstAndInOrder(t *testing.T) {
	taken := make(chan struct{}, 100)
	p := newPost(t, &fakeBackend{do: func([]engine.Event, func([]model.Answer)) *model.Error {
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
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	if err := p.intake.Stop(ctx); err == nil {
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

func TestTheIDOfAMessageIsItsOwn(t *testing.T) {
	at := time.UnixMilli(1_700_000_000_123)
	id := intakeID("ARIA_INTAKE", &letter{seq: 7, at: at})
	if parsed, err := ulid.ParseStrict(id); err != nil || int64(parsed.Time()) != at.UnixMilli() {
		t.Fatalf("%s is no ULID of its time: %v", id, err)
	}
	for name, other := range map[string]string{
		"another place":         intakeID("ARIA_INTAKE", &letter{seq: 8, at: at}),
		"another stream":        intakeID("ARIA_INTAKE_x", &letter{seq: 7, at: at}),
		"a stream made anew":    intakeID("ARIA_INTAKE", &letter{seq: 7, at: at.Add(time.Nanosecond)}),
		"sequence and time mix": intakeID("ARIA_INTAKE", &letter{seq: 71, at: at}),
	} {
		if other == id {
			t.Errorf("%s has the same id", name)
		}
	}
	if again := intakeID("ARIA_INTAKE", &letter{seq: 7, at: at.UTC(), delivered: 5}); again != id {
		t.Errorf("it came again as %s", again)
	}
}

func TestWhatCanNeverBeAcceptedIsADeadLetterOnce(t *testing.T) {
	p := newPost(t, &fakeBackend{do: func(ops []engine.Event, done func([]model.Answer)) *model.Error {
		a := answerOp(ops[0])
		if op := ops[0].(engine.Submit); op.Spec.ID == "taken" {
			a = model.Answer{Err: model.Errorf(model.CodeConflict, "id: the task taken belongs to another client").For("taken")}
		}
		go done([]model.Answer{a})
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
			m := nats.NewMsg(DefaultPrefix + ".intake." + c.client + ".submit")
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
			if dead.Subject != DefaultPrefix+".dlq.intake."+client || string(dead.Data) != c.body {
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

func TestADeadLetterThatIsBuriedAgainIsThereOnce(t *testing.T) {
	p := newPost(t, &fakeBackend{})
	d := decision{
		letter: &letter{seq: 5, at: time.Unix(1_700_000_000, 42), client: "shop", subject: "s", data: []byte("x")},
		answer: model.Answer{Err: model.Errorf(model.CodeInvalid, "url: is missing")},
	}
	for range 3 { // the dispatcher was killed before it could acknowledge the message
		if err := p.intake.publish(streamDLQ, p.intake.deadLetter(&d)); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(p.deadLetters(t)); n != 1 {
		t.Errorf("%d dead letters", n)
	}
}

func TestADeadLetterIsThereOnceAlsoWhenNATSHasForgottenIt(t *testing.T) {
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
	acked := 0
	bad := func(seq uint64) *decision {
		return &decision{
			letter: &letter{seq: seq, at: time.Now().Add(-deadWindow), delivered: 1, client: "shop", subject: "s", data: []byte("x"), ack: func() error { acked++; return nil }},
			answer: model.Answer{Err: model.Errorf(model.CodeInvalid, "url: is missing")},
		}
	}
	first, second := bad(5), bad(6)
	stopIntake(t, p.intake)
	for _, d := range []*decision{first, second} {
		if err := p.intake.bury(d); err != nil { // and the dispatcher is killed before it acknowledges it
			t.Fatal(err)
		}
	}
	testbed.Eventually(t, "NATS has forgotten them", func() bool {
		ack, err := p.js.PublishMsg(testbed.Context(t), p.intake.deadLetter(second))
		return err == nil && !ack.Duplicate
	})
	next := p.start(t, p.backend)
	stopIntake(t, next)
	third := bad(7)
	for _, d := range []*decision{first, third, first} {
		next.store(d)
	}
	places := make(map[string]int)
	for _, m := range p.deadLetters(t) {
		places[m.Header.Get("Aria-Sequence")]++
	}
	if places["5"] != 1 || places["7"] != 1 || acked != 3 {
		t.Errorf("letters %v, %d of 3 messages were acknowledged", places, acked)
	}
}

func TestAMessageWaitsWhileTheDispatcherCannotTakeItIn(t *testing.T) {
	t.Parallel() // it waits for NATS, most of its time
	var tries atomic.Int64
	p := newPost(t, &fakeBackend{do: func(ops []engine.Event, done func([]model.Answer)) *model.Error {
		switch n := tries.Add(1); {
		case n <= 5: // the inbox is full
			return model.Errorf(model.CodeUnavailable, "the inbox is full")
		case n == 6: // the store fails
			go done([]model.Answer{{Err: model.Errorf(model.CodeUnavailable, "the store could not be written")}})
		case n == 7:
			go done([]model.Answer{{Err: model.Errorf(model.CodeTooMany, "limits.max_pending: 5 tasks are pending already")}})
		case n == 8:
			go done([]model.Answer{{Err: model.Errorf(model.CodeInternal, "a bug")}})
		default:
			go done([]model.Answer{answerOp(ops[0])})
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

func TestTheBackendGetsMessagesInTheirOrder(t *testing.T) {
	const messages = 3000
	var full atomic.Int64
	backend := &fakeBackend{}
	var order []string
	var mu sync.Mutex
	backend.do = func(ops []engine.Event, done func([]model.Answer)) *model.Error {
		if full.Add(1)%97 == 0 {
			return model.Errorf(model.CodeUnavailable, "the inbox is full")
		}
		mu.Lock()
		order = append(order, ops[0].(engine.Submit).Spec.ID)
		mu.Unlock()
		go done([]model.Answer{answerOp(ops[0])})
		return nil
	}
	p := newPost(t, backend)
	stopIntake(t, p.intake) // they are sent while nobody takes them
	var want []string
	for n := range messages {
		want = append(want, fmt.Sprint("t", n))
		if _, err := p.js.PublishAsync(DefaultPrefix+".intake.shop.submit", []byte(`{"id":"`+want[n]+`",`+source+`}`)); err != nil {
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
		t.Errorf("%d came, not in their order or not once", len(order))
	}
}

func TestAnAtomicBatchIsTakenWhole(t *testing.T) {
	p := newPost(t, &fakeBackend{})
	const size = 100
	for n := 1; n <= size; n++ {
		m := nats.NewMsg(DefaultPrefix + ".intake.shop.submit")
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

func TestStoppingUnderLoadLeavesTheRestToTheNext(t *testing.T) {
	p := newPost(t, &fakeBackend{})
	const messages = 500
	for n := range messages {
		if _, err := p.js.PublishAsync(DefaultPrefix+".intake.shop.submit", fmt.Appendf(nil, `{"id":"t%d",%s}`, n, source)); err != nil {
			t.Fatal(err)
		}
	}
	seen := make(map[uint64]int)
	seen[p.verdict(t).Seq]++ // some of them are on their way
	stopIntake(t, p.intake)
	stopIntake(t, p.intake) // again
	if n := len(p.intake.taken); n != 0 {
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

func TestAVerdictThatCannotBeToldIsNoAcknowledgement(t *testing.T) {
	p := newPost(t, &fakeBackend{})
	acked := false
	d := decision{letter: &letter{client: "shop", ack: func() error { acked = true; return nil }}, answer: model.Answer{Task: &model.Task{}}}
	stopIntake(t, p.intake)
	p.intake.nc.Close()
	p.intake.finish(&d)
	if acked {
		t.Error("it was acknowledged")
	}
	if err := p.intake.tell(&d); !errors.Is(err, nats.ErrConnectionClosed) {
		t.Error(err)
	}
}
