package client_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/aria-cluster/dispatcher/internal/intake"
	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/pkg/bus/client"
	"github.com/aria-cluster/dispatcher/pkg/bus/embedded"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// connect starts a NATS server on which no dispatcher runs, and connects to it.
func connect(t *testing.T, options ...nats.Option) *nats.Conn {
	t.Helper()
	s, err := embedded.Start(embedded.Options{Listen: "127.0.0.1:-1", StoreDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Shutdown(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	nc, err := nats.Connect(s.ClientURL(), options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

func alice(t *testing.T, nc *nats.Conn) *client.Client {
	t.Helper()
	c, err := client.New(nc, "alice")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// noAnswer wants an error that says nothing of what became of the request.
func noAnswer(t *testing.T, what string, err error) {
	t.Helper()
	var no *model.Error
	if err == nil || errors.As(err, &no) {
		t.Errorf("%s: %v, want an error that is no answer", what, err)
	}
}

// TestNew_ChecksNameAndPrefix checks that an invalid name or prefix is refused.
func TestNew_ChecksNameAndPrefix(t *testing.T) {
	nc := connect(t)
	for _, c := range []struct{ prefix, name, want string }{
		{"", "alice", "nats.prefix"}, {"aria.>", "alice", "nats.prefix"},
		{client.DefaultPrefix, "", "client"}, {client.DefaultPrefix, "a.b", "client"}, {client.DefaultPrefix, "*", "client"},
	} {
		if _, err := client.New(nc, c.name, client.WithPrefix(c.prefix)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q, %q: %v", c.prefix, c.name, err)
		}
	}
}

// TestClient_InvalidAnswerIsAnError checks that an invalid answer is an error with an
// unknown outcome.
func TestClient_InvalidAnswerIsAnError(t *testing.T) {
	nc := connect(t)
	c := alice(t, nc)
	_, err := c.Get(t.Context(), "a")
	noAnswer(t, "no dispatcher", err)
	if !errors.Is(err, nats.ErrNoResponders) {
		t.Errorf("no dispatcher: %v", err)
	}
	said := ""
	if _, err := nc.Subscribe("aria.v1.req.task.alice.*", func(m *nats.Msg) { _ = m.Respond([]byte(said)) }); err != nil {
		t.Fatal(err)
	}
	specs := []*model.TaskSpec{{URL: "https://example.org/f"}}
	for _, said = range []string{"", "null", "[]", `"x"`, "{", `{"tasks":7}`, `{"tasks":[]}`, `{"tasks":[{}]}`, `{"tasks":[{},{}]}`} {
		_, err := c.SubmitMany(t.Context(), specs)
		noAnswer(t, "submit many, "+said, err)
	}
	for _, said = range []string{"", "null", "[]", "{", `{"id":7}`} {
		_, err := c.Get(t.Context(), "a")
		noAnswer(t, "get, "+said, err)
		if said != `{"id":7}` {
			_, err = c.List(t.Context(), model.ListQuery{})
			noAnswer(t, "list, "+said, err)
		}
	}
}

// TestQueue_ReturnsErrorsOfStream checks the errors that the stream returns.
func TestQueue_ReturnsErrorsOfStream(t *testing.T) {
	nc := connect(t)
	c := alice(t, nc)
	spec := &model.TaskSpec{URL: "https://example.org/f"}
	_, err := c.Queue(t.Context(), spec)
	noAnswer(t, "no intake", err)
	if err := intake.EnsureStreams(t.Context(), nc, intake.StreamOptions{Prefix: client.DefaultPrefix, Replicas: 1, Intake: true, IntakeMessages: 2, IntakeBytes: 1 << 20}); err != nil {
		t.Fatal(err)
	}
	for want := range uint64(2) {
		if seq, err := c.Queue(t.Context(), spec); err != nil || seq != want+1 {
			t.Errorf("queued as %d, %v", seq, err)
		}
	}
	var no *model.Error
	if _, err := c.Queue(t.Context(), spec); !errors.As(err, &no) || no.Code != model.CodeUnavailable {
		t.Errorf("a full intake: %v", err)
	}
	if _, err := c.Queue(t.Context(), &model.TaskSpec{URL: "https://example.org/" + strings.Repeat("x", 200<<10)}); !errors.As(err, &no) || no.Code != model.CodeInvalid {
		t.Errorf("a message that is too long: %v", err)
	}
}

// TestWatch_CallsHandlersOneAtATime checks that handlers are called one at a time, and
// that an unreadable event goes to the error handler.
func TestWatch_CallsHandlersOneAtATime(t *testing.T) {
	unread := make(chan error, 1)
	nc := connect(t, nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { unread <- err }))
	told, busy := make(chan string, 8), make(chan struct{}, 1)
	tell := func(what string) {
		select {
		case busy <- struct{}{}:
		default:
			t.Error("two handlers at once")
		}
		told <- what
		<-busy
	}
	stop, err := alice(t, nc).Watch(t.Context(), client.Handlers{
		Task:     func(e *model.TaskEvent) { tell("task " + e.ID) },
		Progress: func(e *model.ProgressEvent) { tell("progress " + e.ID) },
		Verdict:  func(v *model.IntakeVerdict) { tell("verdict " + v.ID) },
	})
	if err != nil {
		t.Fatal(err)
	}
	say := func(subject, body string) {
		t.Helper()
		if err := nc.Publish(subject, []byte(body)); err != nil {
			t.Fatal(err)
		}
	}
	say("aria.v1.evt.task.bob.t0.pending", `{"id":"t0"}`)
	say("aria.v1.evt.task.alice.t1.pending", `{`)
	if err := testbed.Receive(t, unread); !strings.Contains(err.Error(), "aria.v1.evt.task.alice.t1.pending") {
		t.Errorf("the error handler is told %v", err)
	}
	say("aria.v1.evt.task.alice.t1.queued", `{"id":"t1","a field of tomorrow":1}`)
	say("aria.v1.evt.progress.alice.t2", `{"id":"t2"}`)
	say("aria.v1.evt.intake.alice.3.accepted", `{"id":"t3"}`)
	seen := make(map[string]bool)
	for range 3 {
		seen[testbed.Receive(t, told)] = true
	}
	if !seen["task t1"] || !seen["progress t2"] || !seen["verdict t3"] {
		t.Errorf("told %v", seen)
	}
	stop()
	say("aria.v1.evt.task.alice.t1.completed", `{"id":"t1"}`)
	if err := nc.FlushTimeout(10 * time.Second); err != nil {
		t.Fatal(err)
	}
	if len(told) != 0 {
		t.Errorf("after stop: %s", <-told)
	}
}

// TestWatch_SubscribesOnlyForHandlers checks that there is a subscription for each
// handler only.
func TestWatch_SubscribesOnlyForHandlers(t *testing.T) {
	nc := connect(t)
	before := nc.NumSubscriptions()
	stop, err := alice(t, nc).Watch(t.Context(), client.Handlers{Verdict: func(*model.IntakeVerdict) {}})
	if err != nil {
		t.Fatal(err)
	}
	if n := nc.NumSubscriptions() - before; n != 1 {
		t.Errorf("%d subscriptions", n)
	}
	stop()
	if n := nc.NumSubscriptions() - before; n != 0 {
		t.Errorf("%d subscriptions after stop", n)
	}
	nc.Close()
	if _, err := alice(t, nc).Watch(t.Context(), client.Handlers{Task: func(*model.TaskEvent) {}}); !errors.Is(err, nats.ErrConnectionClosed) {
		t.Errorf("on a closed connection: %v", err)
	}
}
