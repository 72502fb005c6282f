package nats_test

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nats.go/micro"

	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/internal/transfer"
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

// Each role may do its work.
func TestRoles_PermittedActionsWork(t *testing.T) {
	url := startServer(t, nil).ClientURL()
	startDispatcher(t, url)
	ctx := testbed.Context(t)

	alice, err := client.New(connect(t, url, "alice").Conn, "alice")
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

	node, err := bus.NewWorkerLink(open(t, url, "worker-1"), bus.DefaultPrefix, "worker-1", nil)
	if err != nil {
		t.Fatal(err)
	}
	assigned := make(chan model.Assignment, 16)
	dropped := make(chan model.Drop, 16)
	unlisten, err := node.Listen(func(c *model.Command) {
		for _, a := range c.Assign {
			assigned <- a
		}
		for _, d := range c.Drop {
			dropped <- d
		}
	}, func() {})
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
		answer, err := node.Report(ctx, []model.Report{{ID: task.ID, Attempt: a.Attempt, Status: status, Progress: 50}})
		if err != nil || answer.Verdicts[0] != nil {
			t.Fatalf("the worker's report: %+v %v", answer, err)
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
	remote, err := transfer.NewRemoteStore(admin.Conn, bus.DefaultPrefix, false)
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

// An operator reads the dead letters and no other stream.
func TestRoles_OperatorReadsDeadLettersOnly(t *testing.T) {
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

// An observer reads past events and no other stream.
func TestRoles_ObserverReadsPastEventsOnly(t *testing.T) {
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

// A client publishes to the intake and receives the verdict.
func TestIntake_ClientReceivesVerdict(t *testing.T) {
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

// TestDeadLetters_OperatorResubmitsThroughDispatcher checks that the permissions of the
// dispatcher suffice for an operator's requests on dead letters.
func TestDeadLetters_OperatorResubmitsThroughDispatcher(t *testing.T) {
	url := startServer(t, nil).ClientURL()
	startDispatcher(t, url)
	alice, admin := connect(t, url, "alice"), connect(t, url, "admin")
	verdicts := make(chan *nats.Msg, 16)
	if _, err := alice.ChanSubscribe("aria.v1.evt.intake.alice.*.*", verdicts); err != nil {
		t.Fatal(err)
	}
	alice.flush(t)
	if _, err := alice.RequestWithContext(testbed.Context(t), "aria.v1.intake.alice.submit", []byte(`{"url":"gopher://h.example/f"}`)); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct{ verb, body, code, answer string }{
		{"list", `{"client":"alice"}`, "", `"url":"gopher://h.example/f"`},
		{"get", `{"client":"alice","seq":1}`, "", `"spec":{"url":"gopher://h.example/f"}`},
		{"resubmit", `{"client":"alice","seq":1}`, "", `"seq":1,`},
		{"resubmit", `{"client":"alice","seq":1}`, "404", ""},
		{"delete", `{"client":"alice","seq":2}`, "", `"seq":2,`},
		{"list", ``, "", `{"dead_letters":[],"next":""}`},
	} {
		if step.verb == "list" && step.body != "" || step.verb == "delete" { // it is a dead letter, for the first or second time
			if m := testbed.Receive(t, verdicts); m.Subject != "aria.v1.evt.intake.alice.1.rejected" {
				t.Errorf("the verdict is on %s", m.Subject)
			}
		}
		code, answer := admin.ask(t, "aria.v1.req.admin.dlq."+step.verb, step.body)
		if code != step.code || !strings.Contains(string(answer), step.answer) {
			t.Errorf("%s %s: %s %s", step.verb, step.body, code, answer)
		}
	}
}
