package natsapi

import (
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"github.com/aria-cluster/dispatcher/internal/api"
	"github.com/aria-cluster/dispatcher/internal/engine"
	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/internal/testbed/testbus"
	"github.com/aria-cluster/dispatcher/internal/transfer"
	"github.com/aria-cluster/dispatcher/internal/wire"
	"github.com/aria-cluster/dispatcher/pkg/bus/embedded"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// maxBody is what the body of a message may have at the default max_payload, in bytes.
const maxBody = 1<<20 - wire.Headroom

const (
	source = `"url":"https://example.com/f.iso"`
	beat   = `"instance":"i1","epoch":1,"seq":1,"state":"ready","total_slots":2`
)

// fakeBackend answers by its fields; do, where set, replaces the answering.
type fakeBackend struct {
	transfer.Backend // of none: they are tested with a real dispatcher, in internal/app

	mu  sync.Mutex
	ops []engine.Event // all events that were accepted

	do      func(ops []engine.Event, done func([]engine.Answer)) *model.Error
	task    func(client, id string) (*model.Task, error)
	tasks   func(q *model.ListQuery) (*model.TaskPage, error)
	worker  func(id string) (*model.Worker, error)
	workers func(q *model.WorkerQuery) (*model.WorkerPage, error)
	status  func(ctx context.Context) (*model.ClusterStatus, error)
}

func (f *fakeBackend) Do(ops []engine.Event, done func([]engine.Answer)) *model.Error {
	f.mu.Lock()
	f.ops = append(f.ops, ops...)
	f.mu.Unlock()
	if f.do != nil {
		return f.do(ops, done)
	}
	answers := make([]engine.Answer, len(ops))
	for i, op := range ops {
		answers[i] = answerOp(op)
	}
	go done(answers)
	return nil
}

// answerOp is a backend in one function: ids that begin with "no" do not exist,
// tasks that begin with "old" are over.
func answerOp(op engine.Event) engine.Answer {
	switch op := op.(type) {
	case engine.Submit:
		return engine.Answer{Task: &model.Task{TaskSpec: *op.Spec, Client: op.Client, TaskState: model.TaskState{Status: model.StatusPending}}}
	case engine.Cancel:
		return answerVerb(op.Client, op.ID, model.StatusCanceled)
	case engine.Pause:
		return answerVerb(op.Client, op.ID, model.StatusPaused)
	case engine.Resume:
		return answerVerb(op.Client, op.ID, model.StatusPending)
	case engine.Retry:
		return answerVerb(op.Client, op.ID, model.StatusPending)
	case engine.Update:
		a := answerVerb(op.Client, op.ID, model.StatusPending)
		if a.Err == nil {
			a.Task.URL = "https://old:secret@example.com/f"
			a.Err = op.Change.Apply(&a.Task.TaskSpec)
		}
		return a
	case engine.Delete:
		return answerVerb(op.Client, op.ID, model.StatusFailed)
	case engine.DrainWorker:
		return answerWorker(op.ID, model.WorkerDraining)
	case engine.ResumeWorker:
		return answerWorker(op.ID, model.WorkerOnline)
	case engine.RemoveWorker:
		if !op.Force {
			return engine.Answer{Err: model.Errorf(model.CodeConflict, "the worker %s is online and cannot be removed", op.ID)}
		}
		return answerWorker(op.ID, model.WorkerOffline)
	case engine.Heartbeat:
		return engine.Answer{Heartbeat: &model.HeartbeatAnswer{HeartbeatInterval: model.Seconds(30)}}
	case engine.Report:
		if strings.HasPrefix(op.ID, "old") {
			return engine.Answer{
				Err:  model.Errorf(model.CodeConflict, "task %s has a newer attempt", op.ID),
				Drop: &model.Drop{ID: op.ID, Attempt: op.Attempt, Reason: model.DropSuperseded},
			}
		}
		return engine.Answer{}
	}
	return engine.Answer{Err: model.Errorf(model.CodeInternal, "unexpected operation")}
}

func answerVerb(client, id string, status model.Status) engine.Answer {
	if strings.HasPrefix(id, "no") {
		return engine.Answer{Err: model.Errorf(model.CodeNotFound, "there is no task %s", id)}
	}
	return engine.Answer{Task: &model.Task{TaskSpec: model.TaskSpec{ID: id}, Client: client, TaskState: model.TaskState{Status: status}}}
}

func answerWorker(id string, status model.WorkerStatus) engine.Answer {
	if strings.HasPrefix(id, "no") {
		return engine.Answer{Err: model.Errorf(model.CodeNotFound, "there is no worker %s", id)}
	}
	return engine.Answer{Worker: &model.Worker{ID: id, Status: status}}
}

func (f *fakeBackend) taken() []engine.Event {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]engine.Event(nil), f.ops...)
}

func (f *fakeBackend) Task(_ context.Context, client, id string) (*model.Task, error) {
	if f.task != nil {
		return f.task(client, id)
	}
	if strings.HasPrefix(id, "no") {
		return nil, model.Errorf(model.CodeNotFound, "there is no task %s", id)
	}
	return &model.Task{TaskSpec: model.TaskSpec{ID: id}, Client: client, TaskState: model.TaskState{Status: model.StatusPending}}, nil
}

func (f *fakeBackend) Tasks(_ context.Context, q *model.ListQuery) (*model.TaskPage, error) {
	if f.tasks != nil {
		return f.tasks(q)
	}
	return &model.TaskPage{Tasks: []*model.Task{{TaskSpec: model.TaskSpec{ID: "t1"}, Client: q.Client}}, Next: "c1"}, nil
}

func (f *fakeBackend) Worker(_ context.Context, id string) (*model.Worker, error) {
	if f.worker != nil {
		return f.worker(id)
	}
	if strings.HasPrefix(id, "no") {
		return nil, model.Errorf(model.CodeNotFound, "there is no worker %s", id)
	}
	return &model.Worker{ID: id, Status: model.WorkerOnline}, nil
}

func (f *fakeBackend) Workers(_ context.Context, q *model.WorkerQuery) (*model.WorkerPage, error) {
	if f.workers != nil {
		return f.workers(q)
	}
	return &model.WorkerPage{Workers: []*model.Worker{{ID: "w1"}}}, nil
}

func (f *fakeBackend) Status(ctx context.Context) (*model.ClusterStatus, error) {
	if f.status != nil {
		return f.status(ctx)
	}
	return &model.ClusterStatus{ActiveWorkers: 3, TotalTasks: 7}, nil
}

// world is a served backend and a connection to ask it by.
type world struct {
	server   *embedded.Server
	backend  *fakeBackend
	requests *api.Service
	service  *Service
	run      *testbed.Running // of the service
	nc       *nats.Conn
}

func serve(t testing.TB, backend *fakeBackend) *world { return serveWith(t, backend, nil) }

// serveWith is serve with dead letters.
func serveWith(t testing.TB, backend *fakeBackend, letters api.DeadLetters) *world {
	return serveOptions(t, backend, api.Options{DeadLetters: letters, StopTimeout: testbed.Patience})
}

// serveOptions is serve with options of the requests.
func serveOptions(t testing.TB, backend *fakeBackend, o api.Options) *world {
	t.Helper()
	s := testbus.StartServer(t)
	w := &world{server: s, backend: backend, nc: testbus.Connect(t, s.ClientURL())}
	logger := slog.New(slog.NewTextHandler(t.Output(), nil))
	o.LogLevel, o.Logger = new(slog.LevelVar), logger
	w.requests = api.New(backend, o)
	service, err := New(testbed.Context(t), testbus.Open(t, s.ClientURL()), w.requests, Options{
		Prefix: wire.DefaultPrefix, Name: "test", Version: "v1.2.3", Logger: logger,
	})
	if err != nil {
		t.Fatal(err)
	}
	w.service, w.run = service, testbed.Run(t, service.Run)
	return w
}

// said is an answer as a program that uses only nats.go receives it.
type said struct {
	code, text string
	body       string
}

func (w *world) ask(t testing.TB, subject, body string) said {
	t.Helper()
	m, err := w.nc.RequestWithContext(testbed.Context(t), wire.DefaultPrefix+".req."+subject, []byte(body))
	if err != nil {
		t.Fatalf("%s: %v", subject, err)
	}
	return said{m.Header.Get(micro.ErrorCodeHeader), m.Header.Get(micro.ErrorHeader), string(m.Data)}
}

// into decodes the body of an answer.
func (s said) into(t testing.TB, v any) {
	t.Helper()
	if err := json.Unmarshal([]byte(s.body), v); err != nil {
		t.Fatalf("the answer %.200s: %v", s.body, err)
	}
}
