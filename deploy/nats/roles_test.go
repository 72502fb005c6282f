package nats_test

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nats.go/micro"
	"github.com/nats-io/nkeys"

	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/pkg/bus"
	"github.com/aria-cluster/dispatcher/pkg/bus/client"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// ask sends a request as a program does that knows nothing of us, and returns the
// error code of the answer, "" if it says yes.
func (u *user) ask(t testing.TB, subject, body string) (code string, answer []byte) {
	t.Helper()
	m, err := u.RequestWithContext(testbed.Context(t), subject, []byte(body))
	if err != nil {
		t.Fatalf("%s: request %s: %v", u.name, subject, err)
	}
	return m.Header.Get(micro.ErrorCodeHeader), m.Data
}

// submitted returns the id of a task that the client has just submitted.
func submitted(t testing.TB, u *user) string {
	t.Helper()
	code, answer := u.ask(t, "aria.v1.req.task."+u.name+".submit", `{"url":"http://h.example/f"}`)
	var task model.Task
	if err := json.Unmarshal(answer, &task); code != "" || err != nil || task.Client != u.name {
		t.Fatalf("submit of %s: %s %s (%v)", u.name, code, answer, err)
	}
	return task.ID
}

func heartbeat(worker string) *model.Heartbeat {
	return &model.Heartbeat{
		WorkerID: worker, Instance: "i-" + worker, Epoch: 1, Seq: 1, State: model.StateReady, TotalSlots: 4,
		Capabilities: model.Capabilities{Protocols: []string{"http"}}, Tasks: []model.Report{},
	}
}

func TestEachRoleMayDoItsWork(t *testing.T) {
	url := startServer(t, nil).ClientURL()
	startDispatcher(t, url)
	ctx := testbed.Context(t)

	alice, err := client.New(connect(t, url, "alice").Conn, bus.DefaultPrefix, "alice")
	if err != nil {
		t.Fatal(err)
	}
	events := make(chan model.Status, 16)
	progress := make(chan float64, 16)
	stop, err := alice.Watch(ctx, client.Handlers{
		Task:     func(e *model.TaskEvent) { events <- e.Status },
		Progress: func(e *model.ProgressEvent) { progress <- e.Progress },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	seen := make(chan string, 64)
	observer := connect(t, url, "observer")
	if _, err := observer.Subscribe("aria.v1.evt.>", func(m *nats.Msg) { seen <- m.Subject }); err != nil {
		t.Fatal(err)
	}
	observer.flush(t)

	node, err := bus.NewWorkerLink(connect(t, url, "worker-1").Conn, bus.DefaultPrefix, "worker-1", nil)
	if err != nil {
		t.Fatal(err)
	}
	assigned := make(chan model.Assignment, 16)
	dropped := make(chan model.Drop, 16)
	unlisten, err := node.Listen(
		func(list []model.Assignment) {
			for _, a := range list {
				assigned <- a
			}
		}, func(list []model.Drop) {
			for _, d := range list {
				dropped <- d
			}
		})
	if err != nil {
		t.Fatal(err)
	}
	defer unlisten()
	if _, err := node.Heartbeat(ctx, heartbeat("worker-1")); err != nil {
		t.Fatalf("the worker's heartbeat: %v", err)
	}

	task, err := alice.Submit(ctx, &model.TaskSpec{ID: "first", URL: "http://h.example/f"})
	if err != nil {
		t.Fatalf("the client's submit: %v", err)
	}
	a := testbed.Receive(t, assigned)
	if a.Task.ID != task.ID {
		t.Fatalf("the worker was assigned %s", a.Task.ID)
	}
	for _, status := range []model.ReportStatus{model.ReportDownloading, model.ReportCompleted} {
		verdicts, _, err := node.Report(ctx, []model.Report{{ID: task.ID, Attempt: a.Attempt, Status: status, Progress: 50}})
		if err != nil || verdicts[0] != nil {
			t.Fatalf("the worker's report: %v %v", verdicts, err)
		}
	}
	for got := model.Status(""); got != model.StatusCompleted; {
		got = testbed.Receive(t, events)
	}
	if got, err := alice.Get(ctx, task.ID); err != nil || got.Status != model.StatusCompleted {
		t.Errorf("the client's get: %+v %v", got, err)
	}
	for subject := ""; subject != "aria.v1.evt.task.alice.first.completed"; {
		subject = testbed.Receive(t, seen)
	}
	if page, err := alice.List(ctx, model.ListQuery{}); err != nil || len(page.Tasks) != 1 {
		t.Errorf("the client's list: %v %v", page, err)
	}

	if _, err := alice.Submit(ctx, &model.TaskSpec{ID: "second", URL: "http://h.example/f"}); err != nil {
		t.Fatal(err)
	}
	testbed.Receive(t, assigned)
	if _, err := alice.Cancel(ctx, "second"); err != nil {
		t.Errorf("the client's cancel: %v", err)
	}
	if d := testbed.Receive(t, dropped); d.ID != "second" || d.Reason != model.DropCanceled {
		t.Errorf("the worker was told %+v", d)
	}

	for subject, body := range map[string]string{
		"task.get": `{"id":"first"}`, "task.list": `{}`, "worker.get": `{"id":"worker-1"}`, "worker.list": `{}`, "status": ``,
	} {
		if code, answer := observer.ask(t, "aria.v1.req.query."+subject, body); code != "" {
			t.Errorf("the observer's %s: %s %s", subject, code, answer)
		}
	}
	for _, verb := range []string{"PING", "INFO", "STATS"} {
		if _, answer := observer.ask(t, "$SRV."+verb+".aria-dispatcher", ""); !strings.Contains(string(answer), `"aria-dispatcher"`) {
			t.Errorf("the observer's %s: %s", verb, answer)
		}
	}
	admin := connect(t, url, "admin")
	if _, err := alice.Submit(ctx, &model.TaskSpec{ID: "third", URL: "http://h.example/f"}); err != nil {
		t.Fatal(err)
	}
	for subject, body := range map[string]string{"admin.task.cancel": `{"id":"third"}`, "query.task.get": `{"id":"third"}`} {
		if code, answer := admin.ask(t, "aria.v1.req."+subject, body); code != "" {
			t.Errorf("the admin's %s: %s %s", subject, code, answer)
		}
	}
	remote, err := bus.NewRemoteStore(admin.Conn, bus.DefaultPrefix, false)
	if err != nil {
		t.Fatal(err)
	}
	snapshot, err := remote.Snapshot(ctx)
	if err != nil {
		t.Fatalf("migrate as admin: %v", err)
	}
	var ids []string
	for task, err := range snapshot.Tasks(ctx, 0) {
		if err != nil {
			t.Fatalf("migrate as admin: %v", err)
		}
		ids = append(ids, task.ID)
	}
	if err := snapshot.Close(); err != nil || !slices.Equal(ids, []string{"first", "second", "third"}) {
		t.Errorf("migrate as admin read %v (%v)", ids, err)
	}
}

// The prefix of the subjects by which streams are read from other accounts.
const streamAPI = "aria.js"

func TestAnOperatorReadsTheDeadLettersAndNoOtherStream(t *testing.T) {
	url := startServer(t, nil).ClientURL()
	makeStreams(t, url)
	js, err := jetstream.NewWithAPIPrefix(connect(t, url, "admin").Conn, streamAPI)
	if err != nil {
		t.Fatal(err)
	}
	ctx := testbed.Context(t)
	stream, err := js.Stream(ctx, "ARIA_DLQ")
	if err != nil {
		t.Fatal(err)
	}
	if m, err := stream.GetMsg(ctx, 1); err != nil || string(m.Data) != "bad" {
		t.Errorf("reading a dead letter: %v %v", m, err)
	}
	if err := stream.DeleteMsg(ctx, 1); err != nil {
		t.Errorf("deleting a dead letter: %v", err)
	}
	if err := stream.Purge(ctx); err != nil {
		t.Errorf("clearing the dead letters: %v", err)
	}
	short, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	if _, err := js.Stream(short, "ARIA_INTAKE"); err == nil {
		t.Error("the operator reads the intake")
	}
}

func TestAnObserverReadsPastEventsAndNothingElseOfTheStreams(t *testing.T) {
	url := startServer(t, nil).ClientURL()
	startDispatcher(t, url)
	id := submitted(t, connect(t, url, "alice"))
	observer := connect(t, url, "observer")
	js, err := jetstream.NewWithAPIPrefix(observer.Conn, streamAPI)
	if err != nil {
		t.Fatal(err)
	}
	ctx := testbed.Context(t)
	var first *jetstream.RawStreamMsg
	testbed.Eventually(t, "the event is in the stream", func() bool {
		stream, err := js.Stream(ctx, "ARIA_EVENTS")
		if err != nil {
			t.Fatal(err)
		}
		first, err = stream.GetMsg(ctx, 1, jetstream.WithGetMsgSubject("aria.v1.evt.task.>"))
		return err == nil
	})
	if want := "aria.v1.evt.task.alice." + id + ".pending"; first.Subject != want {
		t.Errorf("the first event is %s, want %s", first.Subject, want)
	}
	for _, subject := range []string{
		"aria.js.STREAM.INFO.ARIA_DLQ", "aria.js.STREAM.MSG.GET.ARIA_INTAKE", "aria.js.STREAM.PURGE.ARIA_EVENTS",
		"aria.js.CONSUMER.CREATE.ARIA_EVENTS.mine", "$JS.API.CONSUMER.CREATE.ARIA_EVENTS.mine",
	} {
		act{"observer", publish, subject}.attempt(t, observer)
		observer.wantRefusal(t, publish, subject)
	}
}

// makeStreams makes the streams as the dispatcher does, with a dead letter.
func makeStreams(t testing.TB, url string) jetstream.JetStream {
	t.Helper()
	js, err := jetstream.New(connect(t, url, "dispatcher").Conn)
	if err != nil {
		t.Fatal(err)
	}
	for name, subject := range map[string]string{"ARIA_INTAKE": "aria.v1.intake.*.submit", "ARIA_DLQ": "aria.v1.dlq.intake.*"} {
		if _, err := js.CreateOrUpdateStream(testbed.Context(t), jetstream.StreamConfig{Name: name, Subjects: []string{subject}, MaxBytes: 1 << 20}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := js.Publish(testbed.Context(t), "aria.v1.dlq.intake.alice", []byte("bad")); err != nil {
		t.Fatal(err)
	}
	return js
}

func TestTheIntakeServesAClientAndTellsItTheVerdict(t *testing.T) {
	url := startServer(t, nil).ClientURL()
	startDispatcher(t, url)
	alice, bob := connect(t, url, "alice"), connect(t, url, "bob")
	verdicts := make(chan *nats.Msg, 16)
	if _, err := alice.ChanSubscribe("aria.v1.evt.intake.alice.*.*", verdicts); err != nil {
		t.Fatal(err)
	}
	others := make(chan *nats.Msg, 16)
	if _, err := bob.ChanSubscribe("aria.v1.evt.>", others); err == nil {
		bob.flush(t)
		bob.wantRefusal(t, subscribe, "aria.v1.evt.>")
	}
	alice.flush(t)
	for i, body := range []string{`{"id":"good","url":"http://h.example/f"}`, `{"url":"gopher://h.example/f"}`} {
		ack, err := alice.RequestWithContext(testbed.Context(t), "aria.v1.intake.alice.submit", []byte(body))
		var said struct {
			Stream string
			Seq    int
		}
		if err == nil {
			err = json.Unmarshal(ack.Data, &said)
		}
		if err != nil || said.Stream != "ARIA_INTAKE" || said.Seq != i+1 {
			t.Fatalf("the PubAck: %+v %v", said, err)
		}
	}
	got := []string{testbed.Receive(t, verdicts).Subject, testbed.Receive(t, verdicts).Subject}
	slices.Sort(got)
	if want := []string{"aria.v1.evt.intake.alice.1.accepted", "aria.v1.evt.intake.alice.2.rejected"}; !slices.Equal(got, want) {
		t.Errorf("verdicts %v", got)
	}
	if code, answer := alice.ask(t, "aria.v1.req.task.alice.get", `{"id":"good"}`); code != "" {
		t.Errorf("the task: %s %s", code, answer)
	}
	if len(others) > 0 {
		t.Errorf("bob heard %s", (<-others).Subject)
	}
	js, err := jetstream.NewWithAPIPrefix(connect(t, url, "admin").Conn, streamAPI)
	if err != nil {
		t.Fatal(err)
	}
	stream, err := js.Stream(testbed.Context(t), "ARIA_DLQ")
	if err != nil {
		t.Fatal(err)
	}
	letter, err := stream.GetMsg(testbed.Context(t), 1)
	if err != nil || letter.Subject != "aria.v1.dlq.intake.alice" || letter.Header.Get("Aria-Error") == "" {
		t.Errorf("the dead letter: %+v %v", letter, err)
	}
}

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
	{"worker-1", publish, "aria.v1.intake.worker-1.submit"},
	{"worker-1", publish, "aria.v1.cmd.worker.worker-2.drop"},
	{"worker-1", publish, "aria.v1.cmd.worker.worker-1.assign"},
	{"worker-1", publish, "aria.v1.evt.worker.worker-2.offline"},
	{"worker-1", publish, "aria.v1.evt.task.alice.t1.completed"},
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
	{"alice", publish, "aria.v1.req.worker.worker-1.report"},
	{"alice", publish, "aria.v1.req.worker.alice.heartbeat"},
	{"alice", publish, "aria.v1.cmd.worker.worker-1.assign"},
	{"alice", publish, "aria.v1.cmd.worker.worker-1.drop"},
	{"alice", publish, "aria.v1.evt.task.bob.t1.completed"},
	{"alice", publish, "aria.v1.evt.task.alice.t1.completed"},
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
	{"observer", publish, "aria.v1.req.admin.worker.remove"},
	{"observer", publish, "aria.v1.req.worker.worker-1.heartbeat"},
	{"observer", publish, "aria.v1.intake.alice.submit"},
	{"observer", publish, "aria.v1.evt.task.alice.t1.completed"},
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

func TestWhatARoleMayNotDoIsRefused(t *testing.T) {
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
func TestTheAccountsHoldWithoutThePermissionsToo(t *testing.T) {
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

func TestAnImportInAnothersNameIsRefusedAtTheStart(t *testing.T) {
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

func TestAStrangerIsNotLetIn(t *testing.T) {
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
	path := filepath.Join(t.TempDir(), "stranger.nk")
	if err := os.WriteFile(path, seed, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
