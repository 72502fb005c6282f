package natsapi

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/aria-cluster/dispatcher/internal/engine"
	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/internal/testbed/testbus"
	"github.com/aria-cluster/dispatcher/internal/wire"
	"github.com/aria-cluster/dispatcher/pkg/bus"
	"github.com/aria-cluster/dispatcher/pkg/bus/client"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// TestWorkerLink_HeartbeatReturnsAssignments checks that the answer of a heartbeat
// reaches the worker with the secrets of its tasks.
func TestWorkerLink_HeartbeatReturnsAssignments(t *testing.T) {
	secret := model.Options{"http-passwd": {"hunter2"}}
	w := serve(t, &fakeBackend{do: func(ops []engine.Event, done func([]engine.Answer)) *model.Error {
		h := ops[0].(engine.Heartbeat)
		if h.Epoch == 0 {
			done([]engine.Answer{{Err: model.Errorf(model.CodeConflict, "another instance is w1")}})
			return nil
		}
		done([]engine.Answer{{Heartbeat: &model.HeartbeatAnswer{
			HeartbeatInterval: model.Seconds(30),
			Assign:            []model.Assignment{{Task: &model.Task{TaskSpec: model.TaskSpec{ID: "t1", Options: secret}}, Attempt: 3}},
			Drop:              []model.Drop{{ID: "t2", Attempt: 1, Reason: model.DropCanceled}},
			Forget:            []model.TaskRef{{ID: "t3", Attempt: 2}},
		}}})
		return nil
	}})
	l := link(t, testbus.Open(t, w.server.ClientURL()))
	h := &model.Heartbeat{Instance: "i1", Epoch: 1, State: model.StateReady, TotalSlots: 2}
	a, err := l.Heartbeat(testbed.Context(t), h)
	if err != nil {
		t.Fatal(err)
	}
	if len(a.Assign) != 1 || a.Assign[0].Attempt != 3 || a.Assign[0].Task.Options["http-passwd"][0] != "hunter2" ||
		a.Drop[0].Reason != model.DropCanceled || a.Forget[0].ID != "t3" || a.HeartbeatInterval != model.Seconds(30) {
		t.Errorf("got %+v", a)
	}
	h.Epoch = 0
	_, err = l.Heartbeat(testbed.Context(t), h)
	var no *model.Error
	if !errors.As(err, &no) || no.Code != model.CodeConflict || no.Message != "another instance is w1" {
		t.Errorf("got %v, want the dispatcher's 409", err)
	}
}

// TestWorkerLink_SplitsReportsIntoMessages checks that many reports are sent in several
// messages, and each has its own result.
func TestWorkerLink_SplitsReportsIntoMessages(t *testing.T) {
	w := serve(t, &fakeBackend{})
	var reports []model.Report
	for i := range 60 {
		id := fmt.Sprintf("t%d", i)
		if i%10 == 0 {
			id = "old" + id
		}
		files := make([]model.File, 100)
		for j := range files {
			files[j].Path = strings.Repeat("x", 500)
		}
		reports = append(reports, model.Report{ID: id, Attempt: 1, Status: model.ReportCompleted, Result: &model.Result{Files: files}})
	}
	reports[1].Status = "confused"
	reports[2].Result.Files = make([]model.File, 900)
	for j := range reports[2].Result.Files {
		reports[2].Result.Files[j].Path = strings.Repeat("y", 3000) // 2.7 MB alone
	}
	answer, err := link(t, testbus.Open(t, w.server.ClientURL())).Report(testbed.Context(t), reports)
	if err != nil {
		t.Fatal(err)
	}
	verdicts, drop := answer.Verdicts, answer.Drop
	for i, v := range verdicts {
		want := model.Code(0)
		switch {
		case i%10 == 0:
			want = model.CodeConflict
		case i == 1:
			want = model.CodeInvalid
		}
		if got := codeOf(v); got != want {
			t.Errorf("report %d: %v, want %d", i, v, want)
		}
	}
	if len(verdicts) != 60 || len(drop) != 6 || drop[1].ID != "oldt10" {
		t.Errorf("%d verdicts, drop %v", len(verdicts), drop)
	}
	for _, op := range w.backend.taken() {
		if r := op.(engine.Report); r.ID == "t2" && (len(r.Result.Files) == 0 || len(r.Result.Files) > 450) {
			t.Errorf("%d files of the long result arrived", len(r.Result.Files))
		}
	}
}

func codeOf(e *model.Error) model.Code {
	if e == nil {
		return 0
	}
	return e.Code
}

// publisherFor runs a publisher until the end of the test.
func publisherFor(t testing.TB, conn *bus.Connection) *runningPublisher {
	t.Helper()
	p, err := NewPublisher(conn, wire.DefaultPrefix, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	return &runningPublisher{p, testbed.Run(t, p.Run)}
}

type runningPublisher struct {
	*Publisher
	run *testbed.Running
}

// TestPublisher_EventsReachTheirClientOnly checks that a client receives the events of
// its own tasks only.
func TestPublisher_EventsReachTheirClientOnly(t *testing.T) {
	s := testbus.StartServer(t)
	conn := testbus.Open(t, s.ClientURL())
	nc := conn.Current()
	alice, err := client.New(nc, "alice")
	if err != nil {
		t.Fatal(err)
	}
	events, progress := make(chan *model.TaskEvent, 10), make(chan *model.ProgressEvent, 10)
	stop, err := alice.Watch(testbed.Context(t), client.Handlers{
		Task: func(e *model.TaskEvent) { events <- e }, Progress: func(e *model.ProgressEvent) { progress <- e },
	})
	if err != nil {
		t.Fatal(err)
	}
	workers := make(chan *nats.Msg, 10)
	if _, err := nc.ChanSubscribe(wire.Subjects{Prefix: wire.DefaultPrefix}.WorkerEvent("*", "*"), workers); err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	p := publisherFor(t, testbus.Open(t, s.ClientURL()))
	long := &model.Result{TotalLength: 9, Files: make([]model.File, 900)}
	for i := range long.Files {
		long.Files[i].Path = strings.Repeat("x", 3000)
	}
	p.TaskEvent(&model.TaskEvent{ID: "b1", Client: "bob", Status: model.StatusPending})
	p.TaskEvent(&model.TaskEvent{ID: "t1", Client: "alice", Status: model.StatusPending})
	p.TaskEvent(&model.TaskEvent{ID: "t1", Client: "alice", Status: model.StatusCompleted, Result: long})
	p.Progress(&model.ProgressEvent{ID: "t1", Client: "alice", Progress: 50})
	p.WorkerEvent(&model.WorkerEvent{ID: "w1", Status: model.WorkerOffline})
	if e := testbed.Receive(t, events); e.ID != "t1" || e.Status != model.StatusPending {
		t.Errorf("got %+v", e)
	}
	if e := testbed.Receive(t, events); e.Status != model.StatusCompleted || e.Result.TotalLength != 9 || len(e.Result.Files) == 0 || len(e.Result.Files) >= 450 {
		t.Errorf("got %s, %d files", e.Status, len(e.Result.Files))
	}
	if len(long.Files) != 900 {
		t.Error("the caller's result was changed")
	}
	if e := testbed.Receive(t, progress); e.Progress != 50 {
		t.Errorf("got %+v", e)
	}
	if m := testbed.Receive(t, workers); m.Subject != "aria.v1.evt.worker.w1.offline" {
		t.Errorf("got %s", m.Subject)
	}
	stop()
	p.TaskEvent(&model.TaskEvent{ID: "t1", Client: "alice", Status: model.StatusFailed})
	if err := errors.Join(p.run.Stop(t), nc.Flush()); err != nil {
		t.Fatal(err)
	}
	if len(events) != 0 {
		t.Error("an event came after stop")
	}
}

// TestPublisher_StuckConnectionBlocksOnceThenDrops checks that a stuck connection
// blocks the caller once for a moment, and that the loss is logged.
func TestPublisher_StuckConnectionBlocksOnceThenDrops(t *testing.T) {
	log := &testbed.Log{}
	s := testbus.StartServer(t)
	conn := testbus.Open(t, s.ClientURL())
	p, err := NewPublisher(conn, wire.DefaultPrefix, nil, log.Logger())
	if err != nil {
		t.Fatal(err)
	}
	running := testbed.Run(t, p.Run)
	stuck := make(chan struct{})
	taken := make(chan struct{})
	if !p.outbox.put(func() { close(taken); <-stuck }) { // as a socket without a reader
		t.Fatal("the outbox is full from the start")
	}
	testbed.Receive(t, taken)
	start := time.Now()
	for range outboxSize + 100 {
		p.Progress(&model.ProgressEvent{ID: "t1", Client: "alice"})
	}
	if took := time.Since(start); took < outboxTimeout || took > testbed.Patience {
		t.Errorf("blocked for %v", took)
	}
	if !strings.Contains(log.String(), "dropped") {
		t.Errorf("the log says nothing: %q", log)
	}
	close(stuck)
	if err := running.Stop(t); err != nil {
		t.Error(err)
	}
	p.Progress(&model.ProgressEvent{}) // after the end: harmless
}

// TestClient_SubmitGetListCancel checks each call of the Go client against the service.
func TestClient_SubmitGetListCancel(t *testing.T) {
	w := serve(t, &fakeBackend{})
	ctx := testbed.Context(t)
	c, err := client.New(w.nc, "alice")
	if err != nil {
		t.Fatal(err)
	}
	spec := &model.TaskSpec{ID: "t1", URL: "https://example.com/?a=1&b=<2>", Options: model.Options{"header": {"A: b", "C: d"}, "split": {"4"}},
		Priority: model.PriorityHigh, Timeout: model.Seconds(1.5), Torrent: nil, Labels: map[string]string{"a": "b"}}
	task, err := c.Submit(ctx, spec)
	if err != nil || task.ID != "t1" || task.URL != spec.URL || task.Status != model.StatusPending || task.Timeout != spec.Timeout {
		t.Fatalf("submit: %+v, %v", task, err)
	}
	if sent := w.backend.taken()[0].(engine.Submit); sent.Hash != spec.Hash() {
		t.Errorf("the spec changed on its way: %+v", sent.Spec)
	}
	list, err := c.SubmitMany(ctx, []*model.TaskSpec{spec, {ID: "bad"}})
	if err != nil || list[0].ID != "t1" || list[0].Status != model.StatusPending || list[1].ID != "bad" || codeOf(list[1].Err) != 400 {
		t.Errorf("submit many: %+v, %v", list, err)
	}
	if task, err := c.Get(ctx, "t1"); err != nil || task.ID != "t1" {
		t.Errorf("get: %+v, %v", task, err)
	}
	if page, err := c.List(ctx, model.ListQuery{Status: []model.Status{model.StatusPending}}); err != nil || page.Tasks[0].Client != "alice" || page.Next != "c1" {
		t.Errorf("list: %+v, %v", page, err)
	}
	if task, err := c.Cancel(ctx, "t1"); err != nil || task.Status != model.StatusCanceled {
		t.Errorf("cancel: %+v, %v", task, err)
	}
	var no *model.Error
	if _, err := c.Cancel(ctx, "none"); !errors.As(err, &no) || no.Code != 404 || no.ID != "none" {
		t.Errorf("cancel of none: %v", err)
	}
	for _, name := range []string{"", "a.b", "*"} {
		if _, err := client.New(w.nc, name); err == nil {
			t.Errorf("%q is a client's name", name)
		}
		if _, err := bus.NewWorkerLink(testbus.Open(t, w.server.ClientURL()), wire.DefaultPrefix, name, nil); err == nil {
			t.Errorf("%q is a worker's name", name)
		}
	}
}

func link(t testing.TB, conn *bus.Connection) *bus.WorkerLink {
	t.Helper()
	l, err := bus.NewWorkerLink(conn, wire.DefaultPrefix, "w1", nil)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// TestPublisher_SplitsCommandsIntoMessages checks that many assignments reach their
// worker in several messages.
func TestPublisher_SplitsCommandsIntoMessages(t *testing.T) {
	s := testbus.StartServer(t)
	conn := testbus.Open(t, s.ClientURL())
	nc := conn.Current()
	assigned, dropped := make(chan []model.Assignment, 100), make(chan []model.Drop, 100)
	terms := make(chan int64, 100)
	stop, err := link(t, conn).Listen(func(c *model.Command) {
		if terms <- c.Term; c.Assign != nil {
			assigned <- c.Assign
			return
		}
		dropped <- c.Drop
	}, func() {})
	if err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	p := publisherFor(t, testbus.Open(t, s.ClientURL()))
	var list []model.Assignment
	for i := range 30 {
		list = append(list, model.Assignment{Task: &model.Task{TaskSpec: model.TaskSpec{ID: fmt.Sprint("t", i), Torrent: make([]byte, 100_000)}}, Attempt: 1})
	}
	huge := model.Assignment{Task: &model.Task{TaskSpec: model.TaskSpec{ID: "huge", Torrent: make([]byte, 2<<20)}}, Attempt: 1}
	p.Assign("w1", 0, slices.Insert(slices.Clone(list), 7, huge))
	p.Assign("w2", 0, list[:1])
	p.Assign("w1", 0, nil)
	var got []string
	messages := 0
	for len(got) < len(list) {
		for _, a := range testbed.Receive(t, assigned) {
			got = append(got, a.Task.ID)
		}
		messages++
	}
	if got[0] != "t0" || got[29] != "t29" || messages != 5 {
		t.Errorf("%d messages: %v", messages, got)
	}
	p.Drop("w1", 7, []model.Drop{{ID: "t1", Attempt: 1, Reason: model.DropPaused}})
	if d := testbed.Receive(t, dropped); d[0].ID != "t1" || d[0].Reason != model.DropPaused {
		t.Errorf("got %v", d)
	}
	for want := range 6 { // five messages of assignments without a term, and the drop
		if term := testbed.Receive(t, terms); term != int64(want/5*7) {
			t.Errorf("message %d has term %d", want, term)
		}
	}

	m, err := nc.Request(wire.Subjects{Prefix: wire.DefaultPrefix}.Drop("w1"), []byte(`{"drop":[{"id":"t2","attempt":1}]}`), testbed.Patience)
	if err != nil || string(m.Data) != "{}" {
		t.Errorf("a command that wants an answer got %v, %v", m, err)
	}
	if d := testbed.Receive(t, dropped); d[0].ID != "t2" {
		t.Errorf("got %v", d)
	}
	for _, body := range []string{"", "x", `{"drop":7}`, `{"drop":[]}`, `{}`} {
		if err := nc.Publish(wire.Subjects{Prefix: wire.DefaultPrefix}.Drop("w1"), []byte(body)); err != nil {
			t.Fatal(err)
		}
	}
	p.Drop("w1", 0, []model.Drop{{ID: "t3", Attempt: 1}})
	if d := testbed.Receive(t, dropped); d[0].ID != "t3" {
		t.Errorf("after broken commands came %v", d)
	}
	stop()
	p.Drop("w1", 0, []model.Drop{{ID: "t4", Attempt: 1}})
	if err := errors.Join(p.run.Stop(t), nc.Flush()); err != nil {
		t.Fatal(err)
	}
	if len(dropped) != 0 {
		t.Error("a command came after stop")
	}
}
