package client

import (
	"context"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/aria-cluster/dispatcher/internal/wire"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// DefaultPrefix is the default of nats.prefix, with which every subject begins.
const DefaultPrefix = wire.DefaultPrefix

// Client submits and manages the tasks of one client. An error response is a
// [model.Error] in the error's chain; after any other error the outcome is unknown:
// repeat a submit with the same id. The Client itself never repeats a request. A
// request without a deadline in its context has 10 s. It is safe for concurrent use.
type Client struct {
	nc       *nats.Conn
	js       jetstream.JetStream
	subjects wire.Subjects
	name     string
}

// New returns the client of that name; its NATS user must have the permissions of that
// name. The prefix is the dispatcher's nats.prefix, such as [DefaultPrefix]. The caller
// closes the connection.
func New(nc *nats.Conn, prefix, name string) (*Client, error) {
	subjects, err := wire.NewSubjects(prefix)
	if err != nil {
		return nil, err
	}
	if err := model.CheckName("client", name); err != nil {
		return nil, err
	}
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, fmt.Errorf("client %s: %w", name, err)
	}
	return &Client{nc: nc, js: js, subjects: subjects, name: name}, nil
}

// Outcome is the result of one task of a request about many: a status, or an error.
type Outcome struct {
	ID     string
	Status model.Status
	Err    *model.Error
}

// Submit submits one download and returns its task, which is stored then.
func (c *Client) Submit(ctx context.Context, spec *model.TaskSpec) (*model.Task, error) {
	return c.act(ctx, "submit", spec)
}

// SubmitMany submits up to model.MaxBatch downloads in one message; it returns an
// outcome for each, in order. All of them must fit into one message. Each is accepted
// or refused on its own.
func (c *Client) SubmitMany(ctx context.Context, specs []*model.TaskSpec) ([]Outcome, error) {
	var a struct {
		Tasks []struct {
			Task *struct {
				ID     string       `json:"id"`
				Status model.Status `json:"status"`
			} `json:"task"`
			Error *model.Error `json:"error"`
		} `json:"tasks"`
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

// List returns one page of the client's tasks. It may be short, or even empty, and
// still have a Next, which is the Cursor of the query for the page after it.
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

// Pause pauses one of the client's tasks and returns it; its partial file is kept.
func (c *Client) Pause(ctx context.Context, id string) (*model.Task, error) {
	return c.act(ctx, "pause", idBody{ID: id})
}

// Resume resumes one of the client's paused tasks and returns it.
func (c *Client) Resume(ctx context.Context, id string) (*model.Task, error) {
	return c.act(ctx, "resume", idBody{ID: id})
}

// Retry makes one of the client's failed or canceled tasks pending again and
// returns it.
func (c *Client) Retry(ctx context.Context, id string) (*model.Task, error) {
	return c.act(ctx, "retry", idBody{ID: id})
}

// RetryFrom is Retry with another URL, in one step: the task is never pending with the
// old one.
func (c *Client) RetryFrom(ctx context.Context, id, url string) (*model.Task, error) {
	return c.act(ctx, "retry", struct {
		idBody
		URL string `json:"url"`
	}{idBody{ID: id}, url})
}

// Update changes one of the client's tasks that is not completed and returns it. A
// failed or canceled task keeps its status until Retry. A zero time in the change
// removes the time: the task is eligible immediately.
func (c *Client) Update(ctx context.Context, id string, change *model.TaskUpdate) (*model.Task, error) {
	return c.act(ctx, "update", struct {
		idBody
		*model.TaskUpdate
	}{idBody{ID: id}, change})
}

// Delete removes one of the client's terminal tasks, and returns it; with files its
// worker removes the downloaded files too, which may happen after Delete returns.
func (c *Client) Delete(ctx context.Context, id string, files bool) (*model.Task, error) {
	return c.act(ctx, "delete", idBody{ID: id, Files: files})
}

// idBody is a request about one task.
type idBody struct {
	ID    string `json:"id"`
	Files bool   `json:"files,omitempty"`
}

// act sends a request about one task and returns the task.
func (c *Client) act(ctx context.Context, verb string, body any) (*model.Task, error) {
	var t model.Task
	if err := c.ask(ctx, verb, body, &t); err != nil {
		return nil, err
	}
	return &t, nil
}

func (c *Client) ask(ctx context.Context, verb string, body, into any) error {
	b, err := wire.Encode(body)
	if err == nil {
		err = wire.Ask(ctx, c.nc, c.subjects.Request(wire.Sender{Role: wire.RoleTask, Name: c.name, Verb: verb}), b, into)
	}
	if err != nil {
		return fmt.Errorf("%s as %s: %w", verb, c.name, err)
	}
	return nil
}
