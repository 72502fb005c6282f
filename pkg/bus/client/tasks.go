package client

import (
	"context"
	"fmt"

	"github.com/aria-cluster/dispatcher/internal/wire"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// Tasks acts on tasks: those of one [Client], or for an [Operator] those of all
// clients. Make it by [New] or [NewOperator].
type Tasks struct {
	requests
	client string // "" of an operator
}

// Verb is what a request does to existing tasks.
type Verb string

// The verbs that act on tasks by id.
const (
	VerbCancel Verb = "cancel"
	VerbPause  Verb = "pause"
	VerbResume Verb = "resume"
	VerbRetry  Verb = "retry"
	VerbDelete Verb = "delete"
)

// sender returns the requester and the verb of a request.
func (t *Tasks) sender(verb string) wire.Sender {
	switch {
	case t.client != "":
		return wire.Sender{Role: wire.RoleTask, Name: t.client, Verb: verb}
	case verb == "get" || verb == "list":
		return wire.Sender{Role: wire.RoleQuery, Verb: "task." + verb}
	}
	return wire.Sender{Role: wire.RoleAdmin, Verb: "task." + verb}
}

// act sends a request about one task and returns the task.
func (t *Tasks) act(ctx context.Context, verb string, body any) (*model.Task, error) {
	var task model.Task
	if err := t.ask(ctx, t.sender(verb), body, &task); err != nil {
		return nil, err
	}
	return &task, nil
}

// idBody is a request about one task.
type idBody struct {
	ID    string `json:"id"`
	Files bool   `json:"files,omitempty"`
	URL   string `json:"url,omitempty"`
}

// Get returns one task.
func (t *Tasks) Get(ctx context.Context, id string) (*model.Task, error) {
	return t.act(ctx, "get", idBody{ID: id})
}

// Cancel ends a task and returns it.
func (t *Tasks) Cancel(ctx context.Context, id string) (*model.Task, error) {
	return t.act(ctx, "cancel", idBody{ID: id})
}

// Pause pauses a task and returns it; its partial file is kept.
func (t *Tasks) Pause(ctx context.Context, id string) (*model.Task, error) {
	return t.act(ctx, "pause", idBody{ID: id})
}

// Resume resumes a paused task and returns it.
func (t *Tasks) Resume(ctx context.Context, id string) (*model.Task, error) {
	return t.act(ctx, "resume", idBody{ID: id})
}

// RetryOption is an option of [Tasks.Retry].
type RetryOption func(*idBody)

// FromURL makes Retry use another URL, in one step: the task is never pending with the
// previous one.
func FromURL(url string) RetryOption { return func(b *idBody) { b.URL = url } }

// Retry makes a failed or canceled task pending again and returns it.
func (t *Tasks) Retry(ctx context.Context, id string, list ...RetryOption) (*model.Task, error) {
	body := idBody{ID: id}
	for _, apply := range list {
		apply(&body)
	}
	return t.act(ctx, "retry", body)
}

// Update changes a task that is not completed and returns it. A failed or canceled task
// keeps its status until Retry. A zero time in the change removes the time: the task is
// eligible immediately.
func (t *Tasks) Update(ctx context.Context, id string, change *model.TaskUpdate) (*model.Task, error) {
	var notBefore *string // "" removes the time; null, as a zero time is encoded, leaves it
	if change != nil && change.NotBefore != nil {
		text := change.NotBefore.String()
		notBefore = &text
	}
	return t.act(ctx, "update", struct {
		ID string `json:"id"`
		*model.TaskUpdate
		NotBefore *string `json:"not_before"`
	}{id, change, notBefore})
}

// DeleteOption is an option of [Tasks.Delete] and [Tasks.Do].
type DeleteOption func(*deletion)

type deletion struct {
	files bool
}

// WithFiles makes the worker remove the downloaded files too, which may happen after
// the answer.
func WithFiles() DeleteOption { return func(d *deletion) { d.files = true } }

func deletionOf(list []DeleteOption) (d deletion) {
	for _, apply := range list {
		apply(&d)
	}
	return d
}

// Delete removes a terminal task and returns it.
func (t *Tasks) Delete(ctx context.Context, id string, list ...DeleteOption) (*model.Task, error) {
	return t.act(ctx, "delete", idBody{ID: id, Files: deletionOf(list).files})
}

// Outcome is the result of one task of a request about many: a status, or an error.
type Outcome struct {
	ID      string
	Status  model.Status
	Existed bool // of a submit: the same task was submitted before
	Err     *model.Error
}

// entry is one task in an answer to many.
type entry[T any] struct {
	Task    *T           `json:"task"`
	Existed bool         `json:"existed"`
	Error   *model.Error `json:"error"`
}

// outcomes is the answer to a verb with many tasks.
type outcomes struct {
	Tasks []entry[struct {
		ID     string       `json:"id"`
		Status model.Status `json:"status"`
	}] `json:"tasks"`
}

// list converts the answer to a request about that many tasks. An outcome of an error
// that names no task has no id.
func (o *outcomes) list(what string, tasks int) ([]Outcome, error) {
	if len(o.Tasks) != tasks {
		return nil, fmt.Errorf("%s: %d tasks got %d answers", what, tasks, len(o.Tasks))
	}
	list := make([]Outcome, tasks)
	for i, e := range o.Tasks {
		switch {
		case e.Error != nil:
			list[i] = Outcome{ID: e.Error.ID, Err: e.Error}
		case e.Task != nil:
			list[i] = Outcome{ID: e.Task.ID, Status: e.Task.Status, Existed: e.Existed}
		default:
			return nil, fmt.Errorf("%s: the answer to task %d is empty", what, i)
		}
	}
	return list, nil
}

// Do applies a verb to up to model.MaxBatch tasks in one message, and returns an
// outcome for each, in order. Options are for VerbDelete.
func (t *Tasks) Do(ctx context.Context, verb Verb, ids []string, list ...DeleteOption) ([]Outcome, error) {
	var answer outcomes
	if err := t.ask(ctx, t.sender(string(verb)), struct {
		IDs   []string `json:"ids"`
		Files bool     `json:"files,omitempty"`
	}{ids, deletionOf(list).files}, &answer); err != nil {
		return nil, err
	}
	outcomes, err := answer.list(string(verb)+" as "+t.who, len(ids))
	for i := range outcomes {
		outcomes[i].ID = ids[i]
	}
	return outcomes, err
}
