package nats_test

import (
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/pkg/bus"
)

// act is something that a role must not be able to do. The server refuses it with
// a violation that names the subject.
type act struct {
	user, does, subject string
}

const (
	publish   = "publish"
	subscribe = "subscription"
)

// forbidden is what the permissions refuse, point by point.
var forbidden = []act{
	// A worker speaks for itself alone, and only as a worker.
	{"worker-1", publish, "aria.v1.req.worker.worker-2.report"},
	{"worker-1", publish, "aria.v1.req.worker.worker-2.heartbeat"},
	{"worker-1", publish, "aria.v1.req.worker.worker-3.heartbeat"},
	{"worker-1", publish, "aria.v1.req.worker.worker-1.report.x"},
	{"worker-1", publish, "aria.v1.req.task.alice.get"},
	{"worker-1", publish, "aria.v1.req.task.worker-1.submit"},
	{"worker-1", publish, "aria.v1.req.query.task.list"},
	{"worker-1", publish, "aria.v1.req.query.worker.list"},
	{"worker-1", publish, "aria.v1.req.admin.export"},
	{"worker-1", publish, "aria.v1.req.admin.dlq.delete"},
	{"worker-1", publish, "aria.v1.intake.worker-1.submit"},
	{"worker-1", publish, "aria.v1.cmd.worker.worker-2.drop"},
	{"worker-1", publish, "aria.v1.cmd.worker.worker-1.assign"},
	{"worker-1", publish, "aria.v1.evt.worker.worker-2.offline"},
	{"worker-1", publish, "aria.v1.evt.task.alice.t1.completed"},
	{"worker-1", publish, "aria.v1.evt.leader.commit"},
	{"worker-1", publish, "$JS.API.INFO"},
	{"worker-1", publish, "$SRV.INFO"},
	{"worker-1", subscribe, "aria.v1.cmd.worker.worker-2.*"},
	{"worker-1", subscribe, "aria.v1.cmd.worker.*.assign"},
	{"worker-1", subscribe, "aria.v1.req.worker.worker-2.report"},
	{"worker-1", subscribe, "aria.v1.req.>"},
	{"worker-1", subscribe, "aria.v1.evt.>"},
	{"worker-1", subscribe, ">"},

	// A client sees and moves its own tasks alone.
	{"alice", publish, "aria.v1.req.task.bob.get"},
	{"alice", publish, "aria.v1.req.task.bob.list"},
	{"alice", publish, "aria.v1.req.task.bob.cancel"},
	{"alice", publish, "aria.v1.req.task.bob.submit"},
	{"alice", publish, "aria.v1.req.task.bob.delete"},
	{"alice", publish, "aria.v1.req.task.bob.update"},
	{"alice", publish, "aria.v1.req.admin.worker.drain"},
	{"alice", publish, "aria.v1.intake.bob.submit"},
	{"alice", publish, "aria.v1.intake.alice.other"},
	{"alice", publish, "aria.v1.req.query.task.get"},
	{"alice", publish, "aria.v1.req.query.status"},
	{"alice", publish, "aria.v1.req.admin.task.cancel"},
	{"alice", publish, "aria.v1.req.admin.export"},
	{"alice", publish, "aria.v1.req.admin.import"},
	{"alice", publish, "aria.v1.req.admin.log_level"},
	{"alice", publish, "aria.v1.req.admin.dlq.list"},
	{"alice", publish, "aria.v1.req.admin.dlq.resubmit"},
	{"alice", publish, "aria.v1.req.worker.worker-1.report"},
	{"alice", publish, "aria.v1.req.worker.alice.heartbeat"},
	{"alice", publish, "aria.v1.cmd.worker.worker-1.assign"},
	{"alice", publish, "aria.v1.cmd.worker.worker-1.drop"},
	{"alice", publish, "aria.v1.evt.task.bob.t1.completed"},
	{"alice", publish, "aria.v1.evt.task.alice.t1.completed"},
	{"alice", publish, "aria.v1.evt.leader.commit"},
	{"alice", publish, "aria.v1.evt.intake.alice.1.accepted"},
	{"alice", publish, "aria.v1.dlq.intake.alice"},
	{"alice", publish, "_INBOX.bob.answer"},
	{"alice", publish, "_R_.answer"},
	{"alice", publish, "$SRV.PING"},
	{"alice", publish, "$JS.API.INFO"},
	{"alice", publish, "$JS.API.STREAM.CREATE.MINE"},
	{"alice", publish, "$JS.API.STREAM.MSG.GET.ARIA_INTAKE"},
	{"alice", publish, "$JS.API.STREAM.PURGE.ARIA_INTAKE"},
	{"alice", publish, "$JS.API.CONSUMER.MSG.NEXT.ARIA_INTAKE.dispatcher"},
	{"alice", publish, "$JS.ACK.ARIA_INTAKE.dispatcher.1.1.1.1.1"},
	{"alice", publish, "$SYS.REQ.SERVER.PING"},
	{"alice", subscribe, "aria.v1.evt.task.bob.*.*"},
	{"alice", subscribe, "aria.v1.evt.task.*.*.*"},
	{"alice", subscribe, "aria.v1.evt.progress.bob.*"},
	{"alice", subscribe, "aria.v1.evt.intake.bob.*.*"},
	{"alice", subscribe, "aria.v1.evt.worker.*.*"},
	{"alice", subscribe, "aria.v1.req.task.*.submit"},
	{"alice", subscribe, "aria.v1.req.task.alice.submit"},
	{"alice", subscribe, "aria.v1.cmd.worker.worker-1.*"},
	{"alice", subscribe, "aria.v1.intake.>"},
	{"alice", subscribe, "aria.v1.dlq.>"},
	{"alice", subscribe, "$SRV.PING"},
	{"alice", subscribe, "_R_.>"},
	{"alice", subscribe, ">"},

	// An observer reads, and moves nothing.
	{"observer", publish, "aria.v1.req.task.alice.submit"},
	{"observer", publish, "aria.v1.req.task.alice.cancel"},
	{"observer", publish, "aria.v1.req.admin.task.cancel"},
	{"observer", publish, "aria.v1.req.admin.export"},
	{"observer", publish, "aria.v1.req.admin.dlq.get"},
	{"observer", publish, "aria.v1.req.admin.worker.remove"},
	{"observer", publish, "aria.v1.req.worker.worker-1.heartbeat"},
	{"observer", publish, "aria.v1.intake.alice.submit"},
	{"observer", publish, "aria.v1.evt.task.alice.t1.completed"},
	{"observer", publish, "aria.v1.evt.leader.commit"},
	{"observer", publish, "aria.v1.cmd.worker.worker-1.drop"},
	{"observer", publish, "aria.js.STREAM.PURGE.ARIA_DLQ"},
	{"observer", publish, "$JS.API.STREAM.CREATE.MINE"},
	{"observer", subscribe, "aria.v1.req.>"},
	{"observer", subscribe, "aria.v1.cmd.>"},

	// An operator has verbs of its own, and no other's voice.
	{"admin", publish, "aria.v1.req.task.alice.submit"},
	{"admin", publish, "aria.v1.req.worker.worker-1.report"},
	{"admin", publish, "aria.v1.cmd.worker.worker-1.drop"},
	{"admin", publish, "aria.v1.evt.task.alice.t1.completed"},
	{"admin", publish, "$JS.API.STREAM.CREATE.MINE"},
	{"admin", publish, "$JS.API.STREAM.DELETE.ARIA_INTAKE"},
	{"admin", subscribe, "aria.v1.req.>"},
	{"admin", subscribe, "aria.v1.cmd.>"},

	// And the dispatcher neither asks in others' names nor deletes what waits.
	{"dispatcher", publish, "aria.v1.req.admin.task.cancel"},
	{"dispatcher", publish, "aria.v1.req.task.alice.submit"},
	{"dispatcher", publish, "aria.v1.intake.alice.submit"},
	{"dispatcher", publish, "$JS.API.STREAM.DELETE.ARIA_INTAKE"},
	{"dispatcher", publish, "$JS.API.STREAM.PURGE.ARIA_INTAKE"},
	{"dispatcher", subscribe, "aria.v1.cmd.>"},
	{"dispatcher", subscribe, ">"},
}

// The server refuses each action that a role has no permission for.
func TestPermissions_ForbiddenActionIsRefused(t *testing.T) {
	url := startServer(t, nil).ClientURL()
	for _, a := range forbidden {
		t.Run(a.user+" "+a.does+" "+a.subject, func(t *testing.T) {
			u := connect(t, url, a.user)
			a.attempt(t, u)
			u.wantRefusal(t, a.does, a.subject)
		})
	}
	if len(forbidden) < 40 {
		t.Errorf("only %d acts are tried", len(forbidden))
	}
}

func (a act) attempt(t testing.TB, u *user) {
	t.Helper()
	var err error
	if a.does == publish {
		err = u.PublishRequest(a.subject, u.NewRespInbox(), []byte("{}"))
	} else {
		_, err = u.SubscribeSync(a.subject)
	}
	if err != nil {
		t.Fatal(err)
	}
	u.flush(t)
}

// withoutPermissions takes the permissions of all users out of the configuration.
func withoutPermissions(text string) string {
	for {
		begin := strings.Index(text, ", permissions: {")
		if begin < 0 {
			return text
		}
		depth, end := 0, begin+strings.Index(text[begin:], "{")
		for i := end; i < len(text); i++ {
			if text[i] == '{' {
				depth++
			} else if text[i] == '}' {
				if depth--; depth == 0 {
					end = i + 1
					break
				}
			}
		}
		text = text[:begin] + text[end:]
	}
}

// Accounts and permissions are two locks. This is the first one alone: whatever a
// user sends or hears stays in its account.
func TestAccounts_IsolateWithoutPermissions(t *testing.T) {
	url := startServer(t, withoutPermissions).ClientURL()
	var all []act
	for _, a := range forbidden {
		if a.user != "dispatcher" {
			all = append(all, a)
		}
	}
	hub := connect(t, url, "dispatcher")
	const end, ours = "end.of.what.was.sent", "aria.v1.req.task.alice.get"
	heard := make(chan *nats.Msg, 1024)
	if _, err := hub.ChanSubscribe(">", heard); err != nil {
		t.Fatal(err)
	}
	hub.flush(t)
	type ear struct {
		by    *user
		to    string
		heard chan *nats.Msg
	}
	var ears []ear
	for _, a := range all {
		u := connect(t, url, a.user)
		if a.does == publish {
			if err := u.PublishRequest(a.subject, u.NewRespInbox(), []byte(a.subject)); err != nil {
				t.Fatal(err)
			}
		} else {
			e := ear{u, a.subject, make(chan *nats.Msg, 64)}
			if _, err := u.ChanSubscribe(a.subject, e.heard); err != nil {
				t.Fatal(err)
			}
			ears = append(ears, e)
		}
		u.flush(t)
	}
	alice := connect(t, url, "alice")
	if err := alice.Publish(ours, nil); err != nil {
		t.Fatal(err)
	}
	alice.flush(t)

	// What reached the account of the dispatcher is before its own end.
	if err := hub.Publish(end, nil); err != nil {
		t.Fatal(err)
	}
	listens := false
	for m := testbed.Receive(t, heard); m.Subject != end; m = testbed.Receive(t, heard) {
		switch subject := m.Subject; {
		case subject == ours:
			listens = true
		case strings.HasPrefix(subject, "aria."), strings.HasPrefix(subject, "$SRV"), strings.HasPrefix(subject, "$JS.API"):
			t.Errorf("%s reached the dispatcher's account", subject)
		}
	}
	if !listens {
		t.Error("what alice may send was not heard: this shows nothing")
	}

	own := map[string]string{"aria.v1.cmd.worker.worker-1.assign": "worker-1", "aria.v1.evt.task.alice.t1.queued": "alice"}
	for _, subject := range append(slices.Collect(maps.Keys(own)),
		"aria.v1.req.task.bob.submit", "aria.v1.req.worker.worker-2.report", "aria.v1.evt.task.bob.t1.completed",
		"aria.v1.evt.progress.bob.t1", "aria.v1.evt.intake.bob.1.accepted", "aria.v1.cmd.worker.worker-2.assign",
		"aria.v1.intake.bob.submit", "aria.v1.dlq.intake.bob", "_INBOX.bob.x", "_R_.x",
	) {
		if err := hub.Publish(subject, []byte("secret")); err != nil {
			t.Fatal(err)
		}
	}
	hub.flush(t)
	listeners := make(map[string]bool)
	for _, e := range ears {
		e.by.flush(t) // what the server had for it is in the channel now
		for len(e.heard) > 0 {
			m := <-e.heard
			switch {
			case own[m.Subject] == e.by.name:
				listeners[m.Subject] = true
			case m.Subject == ours && e.by.name == "alice": // she has sent it
			default:
				t.Errorf("%s heard %s by %s", e.by.name, m.Subject, e.to)
			}
		}
	}
	if len(listeners) != len(own) {
		t.Errorf("of what is their own users heard %v only: this shows nothing", listeners)
	}
}

// The server does not start with an import in the name of another account.
func TestAccounts_ForeignImportIsRefusedAtStart(t *testing.T) {
	for _, c := range []struct{ name, from, to string }{
		{"a client's requests", `subject: "aria.v1.req.task.alice.*"`, `subject: "aria.v1.req.task.bob.*"`},
		{"all clients' requests", `subject: "aria.v1.req.task.alice.*"`, `subject: "aria.v1.req.task.*.*"`},
		{"a client's events", `subject: "aria.v1.evt.*.alice.>"`, `subject: "aria.v1.evt.*.bob.>"`},
		{"a task's events", `subject: "aria.v1.evt.*.alice.>"`, `subject: "aria.v1.evt.task.bob.*.*"`},
		{"all events", `subject: "aria.v1.evt.*.alice.>"`, `subject: "aria.v1.evt.>"`},
		{"a client's intake", `subject: "aria.v1.intake.alice.submit"`, `subject: "aria.v1.intake.bob.submit"`},
		{"a worker's reports", `subject: "aria.v1.req.worker.worker-1.*"`, `subject: "aria.v1.req.worker.worker-2.*"`},
		{"a worker's commands", `subject: "aria.v1.cmd.worker.worker-1.*"`, `subject: "aria.v1.cmd.worker.worker-2.*"`},
		{"an operator's verbs for a client", `subject: "aria.v1.req.task.alice.*"`, `subject: "aria.v1.req.admin.>"`},
		{"an observer's queries for a client", `subject: "aria.v1.req.task.alice.*"`, `subject: "aria.v1.req.query.>"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			opts, err := configured(t, func(text string) string { return strings.Replace(text, c.from, c.to, 1) })
			if err == nil {
				t.Errorf("taken: %d accounts", len(opts.Accounts))
			}
		})
	}
	if _, err := configured(t, nil); err != nil {
		t.Errorf("the file as it is: %v", err)
	}
}

// A user with an unknown key is refused.
func TestConnect_UnknownKeyIsRefused(t *testing.T) {
	url := startServer(t, nil).ClientURL()
	for name, change := range map[string]func(*bus.Options){
		"without a certificate":         func(o *bus.Options) { o.Cert, o.Key = "", "" },
		"without an nkey":               func(o *bus.Options) { o.NKey = "" },
		"with the nkey of nobody":       func(o *bus.Options) { o.NKey = strangersKey(t) },
		"without knowing the authority": func(o *bus.Options) { o.CA = "" },
		"with a user and password":      func(o *bus.Options) { o.NKey, o.User, o.Password = "", "alice", "alice" },
		"to a name that is not its own": func(o *bus.Options) { o.URL = strings.Replace(o.URL, "127.0.0.1", "127.0.0.2", 1) },
	} {
		t.Run(name, func(t *testing.T) {
			o := as(url, "alice")
			change(&o)
			patience := 20 * time.Second // on a busy machine the reason may be lost with the connection, until the next try
			if o.URL != url {
				patience = 2 * time.Second
			}
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			nc, err := bus.Connect(ctx, o)
			if err == nil {
				nc.Close()
				t.Error("it is let in")
			}
			if errors.Is(err, context.DeadlineExceeded) && o.URL == url {
				t.Errorf("it waits instead of saying so: %v", err)
			}
		})
	}
}

// strangersKey is an nkey that the server does not know.
func strangersKey(t testing.TB) string {
	t.Helper()
	pair, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	seed, err := pair.Seed()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "unknown.nk")
	if err := os.WriteFile(path, seed, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
