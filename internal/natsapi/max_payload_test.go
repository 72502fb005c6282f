package natsapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/aria-cluster/dispatcher/internal/api"
	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/internal/testbed/testbus"
	"github.com/aria-cluster/dispatcher/internal/testbed/testnats"
	"github.com/aria-cluster/dispatcher/internal/wire"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// TestService_AnswerAboveLoweredMaxPayloadIsBuiltAgain has nats-server reload a smaller
// max_payload while requests are under way. The first answer that is too large closes
// the connection; each caller gets an answer that fits, or 413, from the next one.
func TestService_AnswerAboveLoweredMaxPayloadIsBuiltAgain(t *testing.T) {
	s := testnats.StartConfigured(t, "max_payload: 524288\n")
	row := func(n int) *model.Task {
		return &model.Task{TaskSpec: model.TaskSpec{ID: fmt.Sprint("t", n), URL: "http://h/" + strings.Repeat("x", 1000)}}
	}
	started, release := make(chan struct{}, 8), make(chan struct{})
	backend := &fakeBackend{
		tasks: func(q *model.ListQuery) (*model.TaskPage, error) {
			started <- struct{}{}
			<-release
			page := &model.TaskPage{Next: "more"}
			for n := range q.Limit {
				page.Tasks = append(page.Tasks, row(n))
			}
			return page, nil
		},
		task: func(_, id string) (*model.Task, error) {
			started <- struct{}{}
			<-release
			big := row(0)
			for n := range 300 { // no maxBody makes it smaller
				big.Mirrors = append(big.Mirrors, fmt.Sprint("http://h/", n, strings.Repeat("y", 800)))
			}
			return big, nil
		},
	}
	conn := testbus.Open(t, s.ClientURL())
	service, err := New(testbed.Context(t), conn, api.New(backend, api.Options{}), Options{Prefix: wire.DefaultPrefix, Name: "test", Logger: slog.New(slog.NewTextHandler(t.Output(), nil))})
	if err != nil {
		t.Fatal(err)
	}
	testbed.Run(t, service.Run)
	answers := make(chan said, 2)
	asker := testbus.Connect(t, s.ClientURL())
	for subject, body := range map[string]string{"query.task.list": `{"limit":240}`, "query.task.get": `{"id":"a"}`} {
		go func() {
			m, err := asker.RequestWithContext(testbed.Context(t), wire.DefaultPrefix+".req."+subject, []byte(body))
			if err != nil {
				answers <- said{text: subject + ": " + err.Error()}
				return
			}
			answers <- said{code: m.Header.Get("Nats-Service-Error-Code"), text: subject, body: string(m.Data)}
		}()
	}
	testbed.Receive(t, started)
	testbed.Receive(t, started)
	s.Replace("max_payload: 524288", "max_payload: 131072")
	close(release)
	for range 2 {
		switch a := testbed.Receive(t, answers); a.text {
		case "query.task.list":
			var page struct {
				Tasks []json.RawMessage `json:"tasks"`
				Next  string            `json:"next"`
			}
			a.into(t, &page)
			if a.code != "" || len(page.Tasks) < 50 || len(page.Tasks) > 130 || page.Next == "" {
				t.Errorf("the list: code %q, %d tasks, next %q", a.code, len(page.Tasks), page.Next)
			}
		case "query.task.get":
			if a.code != "413" {
				t.Errorf("the task: code %q, %d bytes", a.code, len(a.body))
			}
		default:
			t.Error(a.text)
		}
	}
	if _, err := asker.RequestWithContext(testbed.Context(t), wire.DefaultPrefix+".req.query.status", nil); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// TestPublisher_AssignmentsSurviveLoweredMaxPayload checks that a command above the
// new limit reaches its worker in pieces, and that what is sent while the connection is
// replaced is not lost.
func TestPublisher_AssignmentsSurviveLoweredMaxPayload(t *testing.T) {
	s := testnats.StartConfigured(t, "max_payload: 524288\n")
	got := make(chan string, 256)
	stop, err := link(t, testbus.Open(t, s.ClientURL())).Listen(func(c *model.Command) {
		for _, a := range c.Assign {
			got <- a.Task.ID
		}
	}, func() {})
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	p := publisherFor(t, testbus.Open(t, s.ClientURL()))
	s.Replace("max_payload: 524288", "max_payload: 65536")
	var list []model.Assignment
	for n := range 200 {
		list = append(list, model.Assignment{Task: &model.Task{TaskSpec: model.TaskSpec{ID: fmt.Sprint("t", n), URL: "http://h/" + strings.Repeat("x", 1000)}}, Attempt: 1})
	}
	p.Assign("w1", 0, list)
	p.Assign("w1", 0, list[:1])
	seen := make(map[string]int)
	for len(seen) < len(list) || seen["t0"] < 2 {
		seen[testbed.Receive(t, got)]++
	}
}

// TestWorkerLink_LowersItsMessagesToNewMaxPayload checks that a worker's heartbeat and
// reports above the new limit are split after the connection was replaced.
func TestWorkerLink_LowersItsMessagesToNewMaxPayload(t *testing.T) {
	s := testnats.StartConfigured(t, "max_payload: 524288\n")
	service, err := New(testbed.Context(t), testbus.Open(t, s.ClientURL()), api.New(&fakeBackend{}, api.Options{}), Options{Prefix: wire.DefaultPrefix, Name: "test"})
	if err != nil {
		t.Fatal(err)
	}
	testbed.Run(t, service.Run)
	conn := testbus.Open(t, s.ClientURL())
	l := link(t, conn)
	var reports []model.Report
	for n := range 900 {
		reports = append(reports, model.Report{ID: fmt.Sprint("t", n), Attempt: 1, Status: model.ReportCompleted, Result: &model.Result{
			Files: []model.File{{Path: strings.Repeat("p", 200), Length: 1}}, TotalLength: 1,
		}})
	}
	s.Replace("max_payload: 524288", "max_payload: 65536")
	beat := func() *model.Heartbeat {
		return &model.Heartbeat{WorkerID: "w1", Instance: "i1", Epoch: 1, State: model.StateReady, Tasks: reports}
	}
	if _, err := l.Heartbeat(testbed.Context(t), beat()); !errors.Is(err, nats.ErrConnectionClosed) {
		t.Errorf("the first heartbeat: %v", err)
	}
	testbed.Eventually(t, "the connection is replaced", func() bool { return conn.Check() == nil })
	for at := 0; at < len(reports); {
		h := beat()
		h.Tasks = reports[at:]
		if _, err := l.Heartbeat(testbed.Context(t), h); err != nil || len(h.Tasks) == 0 {
			t.Fatalf("%d tasks were sent: %v", len(h.Tasks), err)
		}
		at += len(h.Tasks)
	}
	answer, err := l.Report(testbed.Context(t), reports)
	if err != nil || len(answer.Verdicts) != len(reports) {
		t.Errorf("reports: %+v, %v", answer, err)
	}
}
