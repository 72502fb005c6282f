package natsapi

import (
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/aria-cluster/dispatcher/internal/engine"
	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/internal/wire"
	"github.com/aria-cluster/dispatcher/pkg/bus"
)

// TestService_ForeignReplySubjectIsNotExecuted checks that a request with a foreign
// reply subject changes nothing.
func TestService_ForeignReplySubjectIsNotExecuted(t *testing.T) {
	w := serve(t, &fakeBackend{})
	elsewhere := make(chan *nats.Msg, 64)
	for _, subject := range []string{"_INBOX_bob.>", "aria.v1.cmd.>", "aria.v1.evt.>", "mine"} {
		if _, err := w.nc.ChanSubscribe(subject, elsewhere); err != nil {
			t.Fatal(err)
		}
	}
	for verb, body := range map[string]string{
		"submit": `{"url":"http://h/f"}`, "cancel": `{"id":"t1"}`, "get": `{"id":"t1"}`, "list": `{}`,
	} {
		for _, reply := range []string{"_INBOX_bob.x", "aria.v1.cmd.worker.w1.assign", "aria.v1.evt.task.alice.t1.completed", "mine"} {
			if err := w.nc.PublishRequest("aria.v1.req.task.alice."+verb, reply, []byte(body)); err != nil {
				t.Fatal(err)
			}
		}
	}
	w.ask(t, "task.alice.get", `{"id":"t1"}`)
	w.ask(t, "task.alice.list", `{}`)
	w.ask(t, "task.alice.cancel", `{"id":"last"}`)
	w.ask(t, "task.alice.submit", `{"id":"last","url":"http://h/f"}`)
	if ops := w.backend.taken(); len(ops) != 2 {
		t.Errorf("carried out: %+v", ops)
	}
	if len(elsewhere) > 0 {
		t.Errorf("answered to %s", (<-elsewhere).Subject)
	}
}

// TestDiscovery_AnswersToInboxesOnly checks that discovery ignores other reply
// subjects.
func TestDiscovery_AnswersToInboxesOnly(t *testing.T) {
	w := serve(t, &fakeBackend{})
	heard := make(chan *nats.Msg, 64)
	for _, subject := range []string{"_INBOX_bob.>", "aria.v1.cmd.>", "mine", "_INBOX_observer.>", "_INBOX_dispatcher.>", "_INBOX.end"} {
		if _, err := w.nc.ChanSubscribe(subject, heard); err != nil {
			t.Fatal(err)
		}
	}
	for _, reply := range []string{"_INBOX_bob.x", "aria.v1.cmd.worker.w1.assign", "mine", "_INBOX_observer.x", "_INBOX_dispatcher.x", "_INBOX.end"} {
		if err := w.nc.PublishRequest("$SRV.PING."+wire.ServiceName, reply, nil); err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []string{"_INBOX_observer.x", "_INBOX_dispatcher.x", "_INBOX.end"} {
		if m := testbed.Receive(t, heard); m.Subject != want {
			t.Errorf("answered to %s instead of %s", m.Subject, want)
		}
	}
}

// TestService_AnswersToInboxOfUser checks that a user with an inbox prefix gets its
// answers.
func TestService_AnswersToInboxOfUser(t *testing.T) {
	w := serve(t, &fakeBackend{})
	nc, err := bus.Connect(testbed.Context(t), bus.Options{URL: w.server.ClientURL(), InboxPrefix: "_INBOX_alice"})
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	w.nc = nc
	if got := w.ask(t, "task.alice.submit", `{"url":"http://h/f"}`); got.code != "" {
		t.Errorf("got %+v", got)
	}
	if ops := w.backend.taken(); len(ops) != 1 || ops[0].(engine.Submit).Client != "alice" {
		t.Errorf("taken: %+v", ops)
	}
}
