package docs_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/internal/transfer"
	"github.com/aria-cluster/dispatcher/pkg/bus"
	"github.com/aria-cluster/dispatcher/pkg/bus/client"
	"github.com/aria-cluster/dispatcher/pkg/bus/embedded"
	"github.com/aria-cluster/dispatcher/pkg/model"
	"github.com/aria-cluster/dispatcher/pkg/repo"
)

// The dispatcher accepts each example of a request.
func TestAsyncAPI_DispatcherAcceptsRequestExamples(t *testing.T) {
	doc, c := readAsyncAPI(t), startCluster(t)
	sent := 0
	for id, op := range doc.Operations {
		channel := doc.Channels[op.Channel.name()]
		if op.Action != "receive" || strings.HasPrefix(channel.Address, "aria.v1.intake.") {
			continue
		}
		subject := strings.NewReplacer("{client}", "alice", "{worker}", "worker-1").Replace(channel.Address)
		for name := range channel.Messages {
			for _, e := range doc.Components.Messages[name].Examples {
				sent++
				answer := c.ask(t, subject, string(body(t, e.Payload)))
				switch code := answer.Header.Get(micro.ErrorCodeHeader); code {
				case "", "404", "409", "503": // it was understood; the state does not allow it
				default:
					t.Errorf("%s, %s: answered %s %s", id, name, code, answer.Header.Get(micro.ErrorHeader))
				}
			}
		}
	}
	if sent < 30 {
		t.Errorf("only %d examples were sent", sent)
	}
}

// The intake accepts each example of a submission.
func TestAsyncAPI_IntakeAcceptsSubmissionExamples(t *testing.T) {
	doc, c := readAsyncAPI(t), startCluster(t)
	examples := doc.Components.Messages["Intake"].Examples
	if len(examples) == 0 {
		t.Fatal("no example was found")
	}
	verdicts := make(chan *nats.Msg, 1+len(examples))
	if _, err := c.nc.ChanSubscribe("aria.v1.evt.intake.alice.*.*", verdicts); err != nil {
		t.Fatal(err)
	}
	c.ask(t, "aria.v1.intake.alice.submit", `{"id":"other","url":"http://example.org/f"}`)
	for _, e := range examples {
		c.ask(t, "aria.v1.intake.alice.submit", string(body(t, e.Payload)))
	}
	accepted := 0
	for range 1 + len(examples) {
		var v model.IntakeVerdict
		m := testbed.Receive(t, verdicts)
		if err := json.Unmarshal(m.Data, &v); err != nil {
			t.Fatal(err)
		}
		switch {
		case strings.HasSuffix(m.Subject, ".accepted"):
			accepted++
		case v.Error == nil || v.Error.Code != model.CodeConflict: // another example has the id
			t.Errorf("%s: %s", m.Subject, m.Data)
		}
	}
	if accepted < 2 {
		t.Errorf("%d were accepted", accepted)
	}
}

// The intake refuses each example of a dead letter.
func TestAsyncAPI_DeadLetterExamplesAreRefused(t *testing.T) {
	doc, c := readAsyncAPI(t), startCluster(t)
	dead := make(chan *nats.Msg, 1)
	if _, err := c.nc.ChanSubscribe("aria.v1.dlq.intake.alice", dead); err != nil {
		t.Fatal(err)
	}
	examples := doc.Components.Messages["DeadLetter"].Examples
	if len(examples) == 0 {
		t.Error("no example was found")
	}
	for i, e := range examples {
		c.ask(t, "aria.v1.intake.alice.submit", string(body(t, e.Payload)))
		m := testbed.Receive(t, dead)
		if string(m.Data) != string(body(t, e.Payload)) {
			t.Errorf("example %d: %s lies there", i, m.Data)
		}
		for name, want := range e.Headers {
			if got := m.Header.Get(name); got != want {
				t.Errorf("example %d: %s is %q, not %q", i, name, got, want)
			}
		}
	}
}

// Our decoders accept each example of a message of the dispatcher.
func TestAsyncAPI_DecodersAcceptDispatcherExamples(t *testing.T) {
	doc := readAsyncAPI(t)
	type list[T any] struct {
		Assign []T `json:"assign,omitempty"`
		Drop   []T `json:"drop,omitempty"`
	}
	decoded := map[string]any{
		"Task": &model.Task{}, "TaskPage": &model.TaskPage{}, "Worker": &model.Worker{}, "WorkerPage": &model.WorkerPage{},
		"ClusterStatus": &model.ClusterStatus{}, "HeartbeatAnswer": &model.HeartbeatAnswer{},
		"Assign": &list[model.Assignment]{}, "Drops": &list[model.Drop]{}, "ReportAnswer": &list[model.Drop]{},
		"TaskEvent": &model.TaskEvent{}, "ProgressEvent": &model.ProgressEvent{}, "WorkerEvent": &model.WorkerEvent{},
		"Verdict": &model.IntakeVerdict{}, "PubAck": &nats.PubAck{},
		"Error": &struct {
			Error model.Error  `json:"error"`
			Drop  []model.Drop `json:"drop"`
		}{},
	}
	for _, name := range slices.Sorted(maps.Keys(decoded)) {
		examples := doc.Components.Messages[name].Examples
		if len(examples) == 0 {
			t.Errorf("message %s has no example: is it called otherwise now?", name)
		}
		for i, e := range examples {
			d := json.NewDecoder(bytes.NewReader(body(t, e.Payload)))
			d.DisallowUnknownFields()
			if err := d.Decode(decoded[name]); err != nil {
				t.Errorf("message %s, example %d: %v", name, i, err)
			}
		}
	}
}

// startServer starts a NATS server without a dispatcher, and connects to it.
func startServer(t *testing.T) (*embedded.Server, *nats.Conn) {
	t.Helper()
	s, err := embedded.Start(embedded.Options{StoreDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Shutdown(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	nc, err := bus.Connect(t.Context(), bus.Options{InProcess: s})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return s, nc
}

// TestAsyncAPI_ProgramsReadAnswerExamples has the programs that ask, clients, workers
// and migrate, get the examples for answers.
func TestAsyncAPI_ProgramsReadAnswerExamples(t *testing.T) {
	ctx, doc := testbed.Context(t), readAsyncAPI(t)
	server, nc := startServer(t)
	// each answers subject with one example of message after the other, and has read
	// look at how that was read.
	asked := make(chan []byte, 1) // what was asked last
	each := func(subject, message string, read func() error) {
		examples := doc.Components.Messages[message].Examples
		if len(examples) == 0 {
			t.Errorf("message %s has no example: is it called otherwise now?", message)
		}
		for i, e := range examples {
			sub, err := nc.Subscribe("aria.v1.req."+subject, func(m *nats.Msg) {
				select {
				case <-asked:
				default:
				}
				asked <- m.Data
				if err := m.Respond(body(t, e.Payload)); err != nil {
					t.Error(err)
				}
			})
			if err == nil {
				err = nc.Flush() // the worker asks over another connection
			}
			if err != nil {
				t.Fatal(err)
			}
			if err := read(); err != nil {
				t.Errorf("message %s, example %d: %v", message, i, err)
			}
			if err := sub.Unsubscribe(); err != nil {
				t.Fatal(err)
			}
		}
	}

	alice, err := client.New(nc, "alice")
	if err != nil {
		t.Fatal(err)
	}
	each("task.alice.submit", "Outcomes", func() error {
		list, err := alice.SubmitMany(ctx, make([]*model.TaskSpec, 2))
		if err == nil && (list[0].ID == "" || list[0].Status == "" || list[1].ID == "" || list[1].Err.Code == 0) {
			err = fmt.Errorf("read as %+v", list)
		}
		return err
	})
	conn, err := bus.OpenConnection(ctx, bus.Options{InProcess: server})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Drain(ctx) }() // nothing is lost by it
	link, err := bus.NewWorkerLink(conn, bus.DefaultPrefix, "worker-1", nil)
	if err != nil {
		t.Fatal(err)
	}
	each("worker.worker-1.report", "ReportsAnswer", func() error {
		a, err := link.Report(ctx, make([]model.Report, 2))
		if err == nil && (a.Verdicts[0] != nil || a.Verdicts[1].Code != model.CodeConflict || len(a.Drop) != 1 || a.Drop[0].Attempt == 0) {
			err = fmt.Errorf("read as %+v", a)
		}
		return err
	})
	store, err := transfer.NewRemoteStore(nc, bus.DefaultPrefix, false)
	if err != nil {
		t.Fatal(err)
	}
	var export repo.Snapshot
	each("admin.export", "ExportAnswer", func() error {
		if export, err = store.Snapshot(ctx); err != nil {
			return err
		}
		if counts, err := export.Counts(ctx); err != nil || len(counts) == 0 {
			return fmt.Errorf("counts %v, %w", counts, err)
		}
		return nil
	})
	each("admin.export", "ExportPage", func() error {
		for _, err := range export.Tasks(ctx, 0) {
			if err != nil {
				return err
			}
		}
		return nil
	})
	each("admin.import", "ImportAnswer", func() error {
		w, err := store.Begin(ctx, repo.CopyOptions{OnConflict: repo.Fail})
		if err != nil {
			return err
		}
		err = w.Abort(ctx)
		if ask := testbed.Receive(t, asked); !bytes.Contains(ask, []byte(`"import":"`)) {
			err = fmt.Errorf("the import was not read: %s is asked", ask)
		}
		return err
	})
}
