package bus

import (
	"math"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/internal/wire"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// An entry of an answer that a worker cannot read costs that entry only: the worker
// still hears the rest, and that it is admitted.
func TestWorkerLink_BadEntryOfAnswerSkipped(t *testing.T) {
	s := startServer(t)
	nc := connectURL(t, s.ClientURL())
	_, err := nc.Subscribe("aria.v1.req.worker.w1.heartbeat", func(m *nats.Msg) {
		_ = m.Respond([]byte(`{"heartbeat_interval":7,
			"assign":[{"task":{"id":"bad","priority":{"new":1}},"attempt":1},7,{"task":{"id":"good"},"attempt":2}],
			"drop":[{"id":"bad","attempt":"x"},{"id":"good","attempt":3,"reason":"paused"}],
			"forget":[null,{"id":7},{"id":"good","attempt":4}]}`))
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	var log testbed.Log
	l, err := NewWorkerLink(openTo(t, s), DefaultPrefix, "w1", log.Logger())
	if err != nil {
		t.Fatal(err)
	}
	a, err := l.Heartbeat(testbed.Context(t), &model.Heartbeat{})
	if err != nil {
		t.Fatal(err)
	}
	if len(a.Assign) != 1 || a.Assign[0].Task.ID != "good" || len(a.Drop) != 1 || a.Drop[0].Attempt != 3 ||
		len(a.Forget) != 1 || a.Forget[0].Attempt != 4 || a.HeartbeatInterval != model.Seconds(7) {
		t.Errorf("got %+v", a)
	}
	if text := log.String(); !strings.Contains(text, "worker=w1") || !strings.Contains(text, "task=bad") {
		t.Errorf("the log says:\n%s", &log)
	}
}

// An entry of a command that a worker cannot read costs that entry only; a command of
// nothing but such entries is not a request for a heartbeat.
func TestWorkerLink_BadEntryOfCommandSkipped(t *testing.T) {
	s := startServer(t)
	conn := openTo(t, s)
	nc, l := conn.Current(), link(t, conn)
	commands := make(chan *model.Command, 10)
	stop, err := l.Listen(func(c *model.Command) { commands <- c }, func() {})
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	for _, m := range []struct{ verb, body string }{
		{"assign", `{"assign":[{"task":7}]}`},
		{"assign", `{"assign":[[],{"task":{"id":"good"},"attempt":2}]}`},
		{"drop", `{"drop":[{"id":[]},{"id":"good","attempt":2,"reason":"paused"}],"term":7}`},
		{"assign", `{"assign":[],"term":8}`},
	} {
		if err := nc.Publish("aria.v1.cmd.worker.w1."+m.verb, []byte(m.body)); err != nil {
			t.Fatal(err)
		}
	}
	if c := testbed.Receive(t, commands); len(c.Assign) != 1 || c.Assign[0].Task.ID != "good" || c.Term != 0 {
		t.Errorf("got %+v, want an assignment", c)
	}
	if c := testbed.Receive(t, commands); len(c.Drop) != 1 || c.Drop[0].ID != "good" || c.Term != 7 {
		t.Errorf("got %+v, want a drop of term 7", c)
	}
	if c := testbed.Receive(t, commands); len(c.Assign)+len(c.Drop) != 0 || c.Term != 8 {
		t.Errorf("got %+v, want the request for a heartbeat of term 8", c)
	}
}

// A report that cannot be written is refused alone.
func TestWorkerLink_UnwritableReportRefusedAlone(t *testing.T) {
	s := startServer(t)
	nc := connectURL(t, s.ClientURL())
	if _, err := nc.Subscribe("aria.v1.req.worker.w1.report", func(m *nats.Msg) { _ = m.Respond([]byte(`{"results":[{},{}],"term":9}`)) }); err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	reports := []model.Report{
		{ID: "a", Attempt: 1, Status: model.ReportDownloading},
		{ID: "bad", Attempt: 1, Status: model.ReportDownloading, Progress: math.NaN()},
		{ID: "c", Attempt: 1, Status: model.ReportDownloading},
	}
	answer, err := link(t, openTo(t, s)).Report(testbed.Context(t), reports)
	if err != nil {
		t.Fatal(err)
	}
	if verdicts := answer.Verdicts; answer.Term != 9 || len(verdicts) != 3 || verdicts[0] != nil || verdicts[1] == nil || verdicts[1].Code != model.CodeInvalid || verdicts[2] != nil {
		t.Errorf("%+v", answer)
	}
	h := &model.Heartbeat{WorkerID: "w1", Instance: "i1", State: model.StateReady, Tasks: reports}
	b, err := encodeHeartbeat(h, maxBody)
	if err != nil {
		t.Fatal(err)
	}
	got, faults, no := wire.DecodeHeartbeat(b, "w1")
	if no != nil || len(faults) > 0 || len(got.Tasks) != 2 || !got.Partial {
		t.Errorf("%+v, %v, %v", got, faults, no)
	}
}

// A connection that is back, or was replaced, asks for a heartbeat at once.
func TestWorkerLink_ReconnectAsksForHeartbeat(t *testing.T) {
	conn := openTo(t, startServer(t))
	reconnected := make(chan struct{}, 10)
	stop, err := link(t, conn).Listen(func(*model.Command) {}, func() { reconnected <- struct{}{} })
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	for _, lose := range []func() error{
		func() error { return conn.Current().ForceReconnect() },
		func() error { conn.Current().Close(); return nil },
		func() error { return conn.Current().ForceReconnect() },
	} {
		if err := lose(); err != nil {
			t.Fatal(err)
		}
		testbed.Receive(t, reconnected)
	}
	if len(reconnected) > 0 {
		t.Error("it asks more than once")
	}
}
