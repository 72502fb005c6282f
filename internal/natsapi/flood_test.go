package natsapi

import (
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/aria-cluster/dispatcher/internal/engine"
	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// TestService_FloodOfOneClientIsRefused checks that a client above its limits is
// refused while others are served.
func TestService_FloodOfOneClientIsRefused(t *testing.T) {
	release := make(chan struct{})
	backend := &fakeBackend{do: func(ops []engine.Event, done func([]engine.Answer)) *model.Error {
		answers := []engine.Answer{answerOp(ops[0])}
		if ops[0].(engine.Submit).Client == "bob" {
			go done(answers)
			return nil
		}
		go func() {
			<-release
			done(answers)
		}()
		return nil
	}}
	w := serve(t, backend)
	const maxInFlight, extra = 4096, 100
	inbox := w.nc.NewInbox()
	answers := make(chan *nats.Msg, maxInFlight+extra)
	if _, err := w.nc.ChanSubscribe(inbox, answers); err != nil {
		t.Fatal(err)
	}
	for range maxInFlight + extra {
		if err := w.nc.PublishRequest("aria.v1.req.task.alice.submit", inbox, []byte(`{"url":"http://h/f"}`)); err != nil {
			t.Fatal(err)
		}
	}
	code := func() string { return testbed.Receive(t, answers).Header.Get("Nats-Service-Error-Code") }
	for range extra {
		if got := code(); got != "429" {
			t.Fatalf("past the limit: %q", got)
		}
	}
	if got := w.ask(t, "task.bob.submit", `{"url":"http://h/f"}`); got.code != "" {
		t.Errorf("another client: %+v", got)
	}
	close(release)
	for range maxInFlight {
		if got := code(); got != "" {
			t.Fatalf("within the limit: %q", got)
		}
	}
	if got := w.ask(t, "task.alice.submit", `{"url":"http://h/f"}`); got.code != "" {
		t.Errorf("afterwards: %+v", got)
	}
}
