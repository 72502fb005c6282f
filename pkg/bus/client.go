package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/nats-io/nats.go"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// Client asks for downloads in the name of one client. An answer that says no is
// a *model.Error in the error's chain; any other error means that nothing is
// known, so that a submit should be repeated with the same id. It never repeats a
// request by itself. It is safe for concurrent use.
type Client struct {
	nc       *nats.Conn
	subjects Subjects
	name     string
	bad      *throttle
}

// NewClient makes the client of that name.
func NewClient(nc *nats.Conn, prefix, name string, logger *slog.Logger) (*Client, error) {
	subjects, err := NewSubjects(prefix)
	if err != nil {
		return nil, err
	}
	if err := model.CheckName("client", name); err != nil {
		return nil, err
	}
	return &Client{nc: nc, subjects: subjects, name: name, bad: &throttle{logger: orDiscard(logger)}}, nil
}

// Outcome is what became of one task of a request about many.
type Outcome struct {
	ID     string
	Status model.Status
	Err    *model.Error
}

// Submit asks for one download and returns its task, which is stored then.
func (c *Client) Submit(ctx context.Context, spec *model.TaskSpec) (*model.Task, error) {
	return c.act(ctx, "submit", spec)
}

// SubmitMany asks for up to model.MaxBatch downloads in one message; it returns
// an outcome for each, in order. All of them must fit into one message.
func (c *Client) SubmitMany(ctx context.Context, specs []*model.TaskSpec) ([]Outcome, error) {
	var a struct {
		Tasks []outcome `json:"tasks"`
	}
	if err := c.ask(ctx, "submit", map[string]any{"tasks": specs}, &a); err != nil {
		return nil, err
	}
	if len(a.Tasks) != len(specs) {
		return nil, fmt.Errorf("submit as %s: %d tasks got %d answers", c.name, len(specs), len(a.Tasks))
	}
	list := make([]Outcome, len(specs))
	for i, o := range a.Tasks {
		switch {
		case o.Error != nil:
			list[i] = Outcome{ID: o.Error.ID, Err: o.Error}
		case o.Task != nil:
			list[i] = Outcome{ID: o.Task.ID, Status: o.Task.Status}
		default:
			return nil, fmt.Errorf("submit as %s: the answer to task %d is empty", c.name, i)
		}
	}
	return list, nil
}

// Get returns one of the client's tasks.
func (c *Client) Get(ctx context.Context, id string) (*model.Task, error) {
	return c.act(ctx, "get", idBody{ID: id})
}

// List returns one page of the client's tasks.
func (c *Client) List(ctx context.Context, q model.ListQuery) (*model.TaskPage, error) {
	var p model.TaskPage
	if err := c.ask(ctx, "list", q, &p); err != nil {
		return nil, err
	}
	return &p, nil
}

// Cancel ends one of the client's tasks and returns it.
func (c *Client) Cancel(ctx context.Context, id string) (*model.Task, error) {
	return c.act(ctx, "cancel", idBody{ID: id})
}

// Pause holds one of the client's tasks back and returns it; what is downloaded of
// it is kept.
func (c *Client) Pause(ctx context.Context, id string) (*model.Task, error) {
	return c.act(ctx, "pause", idBody{ID: id})
}

// Resume lets one of the client's paused tasks go on and returns it.
func (c *Client) Resume(ctx context.Context, id string) (*model.Task, error) {
	return c.act(ctx, "resume", idBody{ID: id})
}

// Retry makes one of the client's failed or canceled tasks pending again and
// returns it.
func (c *Client) Retry(ctx context.Context, id string) (*model.Task, error) {
	return c.act(ctx, "retry", idBody{ID: id})
}

// Update changes one of the client's tasks that has not ended and returns it. An
// unset time in the change is as none: one that is over has the task begin now.
func (c *Client) Update(ctx context.Context, id string, change *model.TaskUpdate) (*model.Task, error) {
	return c.act(ctx, "update", struct {
		idBody
		*model.TaskUpdate
	}{idBody{ID: id}, change})
}

// Delete forgets one of the client's tasks that has ended, and returns it as it
// was; with files its worker is told to remove what it downloaded. That the files
// are gone when Delete returns is not guaranteed.
func (c *Client) Delete(ctx context.Context, id string, files bool) (*model.Task, error) {
	return c.act(ctx, "delete", idBody{ID: id, Files: files})
}

// idBody is a request about one task.
type idBody struct {
	ID    string `json:"id"`
	Files bool   `json:"files,omitempty"`
}

// act asks for something about one task and returns that.
func (c *Client) act(ctx context.Context, verb string, body any) (*model.Task, error) {
	var t model.Task
	if err := c.ask(ctx, verb, body, &t); err != nil {
		return nil, err
	}
	return &t, nil
}

func (c *Client) ask(ctx context.Context, verb string, body, into any) error {
	b, err := encode(body)
	if err == nil {
		err = ask(ctx, c.nc, c.subjects.Request(Sender{Role: RoleTask, Name: c.name, Verb: verb}), b, into)
	}
	if err != nil {
		return fmt.Errorf("%s as %s: %w", verb, c.name, err)
	}
	return nil
}

// Watch has event and progress called, one at a time, for what happens to the
// client's tasks. What is submitted after Watch returned is seen from its first
// event on. Events are hints: some may be missing, above all while NATS is away,
// so what must be known is asked for with Get. After stop no further call begins.
func (c *Client) Watch(ctx context.Context, event func(*model.TaskEvent), progress func(*model.ProgressEvent)) (stop func(), err error) {
	var one sync.Mutex
	var stopped atomic.Bool
	handle := func(m *nats.Msg, decode func([]byte) (tell func(), err error)) {
		tell, err := decode(m.Data)
		if err != nil {
			c.bad.warn("ignored an event", "client", c.name, "subject", m.Subject, "error", err)
			return
		}
		one.Lock()
		defer one.Unlock()
		if !stopped.Load() {
			tell()
		}
	}
	events, err := c.subscribe(c.subjects.TaskEvent(c.name, "*", "*"), func(m *nats.Msg) {
		handle(m, func(b []byte) (func(), error) {
			var e model.TaskEvent
			err := json.Unmarshal(b, &e)
			return func() { event(&e) }, err
		})
	})
	if err != nil {
		return nil, err
	}
	progresses, err := c.subscribe(c.subjects.Progress(c.name, "*"), func(m *nats.Msg) {
		handle(m, func(b []byte) (func(), error) {
			var e model.ProgressEvent
			err := json.Unmarshal(b, &e)
			return func() { progress(&e) }, err
		})
	})
	if err != nil {
		return nil, errors.Join(err, events.Unsubscribe())
	}
	stop = func() {
		stopped.Store(true)
		// They fail only where the connection is gone, and with it the subscriptions.
		_, _ = events.Unsubscribe(), progresses.Unsubscribe()
	}
	flush, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	if err := c.nc.FlushWithContext(flush); err != nil {
		stop()
		return nil, fmt.Errorf("watching the tasks of %s: %w", c.name, err)
	}
	return stop, nil
}

func (c *Client) subscribe(subject string, handle nats.MsgHandler) (*nats.Subscription, error) {
	sub, err := c.nc.Subscribe(subject, handle)
	if err != nil {
		return nil, fmt.Errorf("watching the tasks of %s: %w", c.name, err)
	}
	if err := sub.SetPendingLimits(hintMsgs, hintBytes); err != nil {
		return nil, errors.Join(fmt.Errorf("watching the tasks of %s: %w", c.name, err), sub.Unsubscribe())
	}
	return sub, nil
}
