package docs_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"

	"github.com/aria-cluster/dispatcher/internal/natsapi"
	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/internal/transfer"
	"github.com/aria-cluster/dispatcher/pkg/bus"
	"github.com/aria-cluster/dispatcher/pkg/bus/client"
	"github.com/aria-cluster/dispatcher/pkg/bus/embedded"
	"github.com/aria-cluster/dispatcher/pkg/model"
	"github.com/aria-cluster/dispatcher/pkg/repo"
)

// ref points to another part of the document.
type ref struct {
	Ref string `yaml:"$ref"`
}

func (r ref) name() string { return path.Base(r.Ref) }

// asyncAPI is what the tests look at in asyncapi.yaml.
type asyncAPI struct {
	Channels map[string]struct {
		Address  string
		Messages map[string]ref
	}
	Operations map[string]struct {
		Action  string
		Channel ref
		Reply   struct{ Messages []ref }
	}
	Components struct {
		Messages map[string]struct {
			Payload  any
			Examples []struct {
				Payload any
				Headers map[string]string
			}
		}
	}

	compiler *jsonschema.Compiler
}

const document = "asyncapi.json"

// readAsyncAPI reads the document. Its schemas are made strict: a field that they
// do not name is an error, so that none is forgotten.
func readAsyncAPI(t *testing.T) *asyncAPI {
	t.Helper()
	text, err := os.ReadFile("asyncapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var doc asyncAPI
	var tree map[string]any
	for _, into := range []any{&doc, &tree} {
		if err := yaml.Unmarshal(text, into); err != nil {
			t.Fatal(err)
		}
	}
	strict(tree["components"])
	doc.compiler = jsonschema.NewCompiler()
	doc.compiler.DefaultDraft(jsonschema.Draft7)
	doc.compiler.AssertFormat()
	if err := doc.compiler.AddResource(document, asJSON(t, tree)); err != nil {
		t.Fatal(err)
	}
	return &doc
}

// strict closes every object schema that names its properties.
func strict(node any) {
	switch node := node.(type) {
	case map[string]any:
		_, named := node["properties"].(map[string]any)
		if _, open := node["additionalProperties"]; named && !open && node["type"] == "object" {
			node["additionalProperties"] = false
		}
		for _, child := range node {
			strict(child)
		}
	case []any:
		for _, child := range node {
			strict(child)
		}
	}
}

// asJSON makes of a YAML value what the schema library knows.
func asJSON(t *testing.T, v any) any {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return parseJSON(t, b)
}

func parseJSON(t *testing.T, b []byte) any {
	t.Helper()
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
	if err != nil {
		t.Fatalf("%.200s: %v", b, err)
	}
	return v
}

// check validates a value against a message's schema.
func (d *asyncAPI) check(t *testing.T, message string, value any) error {
	t.Helper()
	schema, err := d.compiler.Compile(document + "#/components/messages/" + message + "/payload")
	if err != nil {
		t.Fatalf("message %s: %v", message, err)
	}
	return schema.Validate(value)
}

var parameter = regexp.MustCompile(`\{\w+\}`)

// Each served subject is in asyncapi.yaml.
func TestAsyncAPI_NamesEachServedSubject(t *testing.T) {
	doc, c := readAsyncAPI(t), startCluster(t)
	var info micro.Info
	if err := json.Unmarshal(c.ask(t, "$SRV.INFO."+natsapi.ServiceName, "").Data, &info); err != nil {
		t.Fatal(err)
	}
	var served, documented []string
	for _, e := range info.Endpoints {
		served = append(served, e.Subject)
	}
	for _, channel := range doc.Channels {
		if strings.HasPrefix(channel.Address, bus.DefaultPrefix+".req.") {
			documented = append(documented, parameter.ReplaceAllString(channel.Address, "*"))
		}
	}
	slices.Sort(served)
	slices.Sort(documented)
	if !slices.Equal(served, documented) {
		t.Errorf("served:     %v\ndocumented: %v", served, documented)
	}
}

// Each message of asyncapi.yaml has examples, and they match its schema.
func TestAsyncAPI_ExamplesMatchSchemas(t *testing.T) {
	doc := readAsyncAPI(t)
	used := make(map[string]bool)
	for _, channel := range doc.Channels {
		for _, m := range channel.Messages {
			used[m.name()] = true
		}
	}
	for name, m := range doc.Components.Messages {
		if !used[name] {
			t.Errorf("message %s is of no channel", name)
		}
		if m.Payload == nil || len(m.Examples) == 0 {
			t.Errorf("message %s has no schema or no example", name)
		}
		for i, e := range m.Examples {
			if err := doc.check(t, name, asJSON(t, e.Payload)); err != nil {
				t.Errorf("message %s, example %d: %v", name, i, err)
			}
		}
	}
	for _, bad := range []string{`{"id":"film","colour":"red"}`, `{"url":5}`, `{"id":"a b"}`, `[]`} {
		if doc.check(t, "Submit", parseJSON(t, []byte(bad))) == nil {
			t.Errorf("the schema of a submit takes %s", bad)
		}
	}
}

// body is an example as it is sent.
func body(t *testing.T, payload any) []byte {
	t.Helper()
	if text, ok := payload.(string); ok {
		return []byte(text)
	}
	b, err := json.Marshal(payload)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

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
