package nats_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/aria-cluster/dispatcher/internal/testbed"
)

// elsewhere is where an answer would do harm, or tell somebody what is not theirs.
var elsewhere = []string{
	"aria.v1.cmd.worker.worker-1.assign", "aria.v1.cmd.worker.worker-1.drop",
	"aria.v1.req.admin.task.cancel", "aria.v1.req.task.bob.submit", "aria.v1.req.worker.worker-2.heartbeat",
	"aria.v1.evt.task.bob.t1.completed", "aria.v1.intake.bob.submit", "aria.v1.dlq.intake.bob",
	"_INBOX.bob", "_INBOX_bob.x", "_INBOX_admin.x",
	"$SRV.PING", "$JS.API.STREAM.PURGE.ARIA_INTAKE", "$JS.API.STREAM.DELETE.ARIA_DLQ", "anything",
}

// A requester names the subject of its answer, and NATS does not ask whether it may
// publish there. Here everybody names every subject that would do harm, without even
// permissions in the way: each answer stays in the account of the requester.
func TestReplySubject_ForeignSubjectGetsNoAnswer(t *testing.T) {
	url := startServer(t, withoutPermissions).ClientURL()
	startDispatcher(t, url)

	heard := make(chan string, 4096)
	for _, name := range []string{"dispatcher", "bob", "worker-2", "observer", "admin"} {
		spy := connect(t, url, name)
		if _, err := spy.Subscribe(">", func(m *nats.Msg) { heard <- name + " " + m.Subject + " " + string(m.Data) }); err != nil {
			t.Fatal(err)
		}
		spy.flush(t)
	}
	own := make(chan string, 4096)
	for name, requests := range map[string][]string{
		"alice": {
			"aria.v1.req.task.alice.submit", "aria.v1.req.task.alice.get", "aria.v1.req.task.alice.list",
			"aria.v1.intake.alice.submit",
		},
		"worker-1": {"aria.v1.req.worker.worker-1.heartbeat", "aria.v1.req.worker.worker-1.report"},
	} {
		u := connect(t, url, name)
		if _, err := u.Subscribe(">", func(m *nats.Msg) { own <- m.Subject }); err != nil {
			t.Fatal(err)
		}
		asked := 0
		for _, subject := range requests {
			for _, reply := range elsewhere {
				if err := u.PublishRequest(subject, reply, []byte(`{"mark":"alien"}`)); err != nil {
					t.Fatal(err)
				}
				asked++
			}
		}
		// It hears its own questions, and all the answers.
		answered := 0
		testbed.Eventually(t, name+" is answered where it asked to be", func() bool {
			for len(own) > 0 {
				if slices.Contains(elsewhere, <-own) {
					answered++
				}
			}
			return answered >= asked/2
		})
	}
	// Who hears nothing alien until its own question comes back has heard nothing.
	connect(t, url, "alice").ask(t, "aria.v1.req.task.alice.list", `{}`)
	for len(heard) > 0 {
		said := <-heard
		name, rest, _ := strings.Cut(said, " ")
		subject, _, _ := strings.Cut(rest, " ")
		if slices.Contains(elsewhere, subject) || name == "bob" || name == "worker-2" {
			t.Errorf("%.200s", said)
		}
	}
}

// The intake is undamaged after its acknowledgements were sent to arbitrary
// subjects.
func TestReplySubject_AcknowledgementsDoNotDamageIntake(t *testing.T) {
	url := startServer(t, nil).ClientURL()
	js := makeStreams(t, url)
	bob := connect(t, url, "bob")
	for range 3 {
		if _, err := bob.RequestWithContext(testbed.Context(t), "aria.v1.intake.bob.submit", []byte(`{}`)); err != nil {
			t.Fatal(err)
		}
	}
	alice := connect(t, url, "alice")
	for _, reply := range elsewhere {
		if err := alice.PublishRequest("aria.v1.intake.alice.submit", reply, []byte(`{}`)); err != nil {
			t.Fatal(err)
		}
	}
	alice.flush(t)
	// The server itself refuses those that it uses between accounts.
	for _, reply := range []string{"_R_.x", "$JS.ACK.ARIA_INTAKE.dispatcher.1.1.1.1.1"} {
		if err := alice.PublishRequest("aria.v1.intake.alice.submit", reply, []byte(`{}`)); err != nil {
			t.Fatal(err)
		}
		alice.flush(t)
		alice.wantRefusal(t, "publish with reply", reply)
	}
	for name, want := range map[string]map[string]uint64{ // messages by subject
		"ARIA_INTAKE": {"aria.v1.intake.bob.submit": 3, "aria.v1.intake.alice.submit": uint64(len(elsewhere))},
		"ARIA_DLQ":    {"aria.v1.dlq.intake.alice": 1},
	} {
		stream, err := js.Stream(testbed.Context(t), name)
		if err != nil {
			t.Fatal(err)
		}
		var got map[string]uint64
		testbed.Eventually(t, name+" has all that was sent", func() bool {
			info, err := stream.Info(testbed.Context(t), jetstream.WithSubjectFilter(">"))
			if err != nil {
				t.Fatal(err)
			}
			got = info.State.Subjects
			return got["aria.v1.intake.alice.submit"] == want["aria.v1.intake.alice.submit"]
		})
		if !maps.Equal(got, want) {
			t.Errorf("%s holds %v, want %v", name, got, want)
		}
	}
}

// The subject of a message names its worker and its client, whatever the body
// contains.
func TestSubject_NamesWorkerAndClient(t *testing.T) {
	url := startServer(t, nil).ClientURL()
	startDispatcher(t, url)
	alice, bob, node := connect(t, url, "alice"), connect(t, url, "bob"), connect(t, url, "worker-1")
	id := submitted(t, bob)
	for verb, body := range map[string]string{"get": `{"id":"` + id + `"}`, "cancel": `{"id":"` + id + `"}`} {
		if code, answer := alice.ask(t, "aria.v1.req.task.alice."+verb, body); code != "404" || strings.Contains(string(answer), "h.example") {
			t.Errorf("%s of another's task: %s %s", verb, code, answer)
		}
	}
	if code, answer := alice.ask(t, "aria.v1.req.task.alice.list", `{"client":"bob"}`); code != "403" {
		t.Errorf("a list of another's tasks: %s %s", code, answer)
	}
	if _, answer := alice.ask(t, "aria.v1.req.task.alice.list", `{}`); strings.Contains(string(answer), id) {
		t.Errorf("a list shows another's task: %s", answer)
	}
	if code, answer := alice.ask(t, "aria.v1.req.task.alice.submit", `{"id":"`+id+`","url":"http://h.example/f"}`); code != "409" || strings.Contains(string(answer), "bob") {
		t.Errorf("another's id: %s %s", code, answer)
	}
	if code, answer := alice.ask(t, "aria.v1.req.task.alice.submit", `{"client":"bob","url":"http://h.example/f"}`); code != "400" {
		t.Errorf("a client in the body: %s %s", code, answer)
	}
	for verb, body := range map[string]string{
		"heartbeat": `{"worker_id":"worker-2","instance":"i","epoch":1,"seq":1,"state":"ready","total_slots":1,"tasks":[]}`,
		"report":    `{"worker_id":"worker-2","id":"` + id + `","attempt":1,"status":"completed"}`,
	} {
		if code, answer := node.ask(t, "aria.v1.req.worker.worker-1."+verb, body); code != "400" {
			t.Errorf("a %s with another's name in it: %s %s", verb, code, answer)
		}
	}
	// It is known, and holds nothing: what it reports of others' tasks is refused.
	if code, answer := node.ask(t, "aria.v1.req.worker.worker-1.report", `{"id":"`+id+`","attempt":1,"status":"completed"}`); code != "409" {
		t.Errorf("a report of a task that it does not hold: %s %s", code, answer)
	}
	if code, answer := bob.ask(t, "aria.v1.req.task.bob.get", `{"id":"`+id+`"}`); code != "" || !strings.Contains(string(answer), `"pending"`) {
		t.Errorf("the task afterwards: %s %s", code, answer)
	}
}
