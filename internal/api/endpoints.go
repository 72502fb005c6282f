package api

import (
	"context"
	"slices"
	"strings"

	"github.com/aria-cluster/dispatcher/internal/engine"
	"github.com/aria-cluster/dispatcher/internal/wire"
	"github.com/aria-cluster/dispatcher/internal/worker/torrent"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// verbSubmit is the verb that makes tasks.
const verbSubmit = "submit"

// Endpoint is one kind of request. Take it from [Endpoints].
type Endpoint struct {
	Role   wire.Role
	Verb   string // "submit", or with a dot "task.get"
	handle func(*call)
}

// Name returns the role and the verb without dots: "task-submit", "query-task-get".
func (e Endpoint) Name() string {
	return strings.ReplaceAll(string(e.Role)+"-"+e.Verb, ".", "-")
}

// Subject returns the role and the verb as subjects have them: "task.submit",
// "query.task.get".
func (e Endpoint) Subject() string { return string(e.Role) + "." + e.Verb }

// Endpoints returns all endpoints, in the order of the protocol.
func Endpoints() []Endpoint {
	cancel := taskVerb(func(client, id string) engine.Event { return engine.Cancel{Client: client, ID: id} })
	pause := taskVerb(func(client, id string) engine.Event { return engine.Pause{Client: client, ID: id} })
	resume := taskVerb(func(client, id string) engine.Event { return engine.Resume{Client: client, ID: id} })
	return []Endpoint{
		{wire.RoleTask, verbSubmit, (*call).submit},
		{wire.RoleTask, "get", (*call).getTasks},
		{wire.RoleTask, "list", (*call).listTasks},
		{wire.RoleTask, "cancel", cancel},
		{wire.RoleTask, "pause", pause},
		{wire.RoleTask, "resume", resume},
		{wire.RoleTask, "retry", (*call).retry},
		{wire.RoleTask, "update", (*call).update},
		{wire.RoleTask, "delete", (*call).deleteTasks},
		{wire.RoleQuery, "task.get", (*call).getTasks},
		{wire.RoleQuery, "task.list", (*call).listTasks},
		{wire.RoleQuery, "worker.get", (*call).getWorker},
		{wire.RoleQuery, "worker.list", (*call).listWorkers},
		{wire.RoleQuery, "status", (*call).status},
		{wire.RoleAdmin, "task.cancel", cancel},
		{wire.RoleAdmin, "task.pause", pause},
		{wire.RoleAdmin, "task.resume", resume},
		{wire.RoleAdmin, "task.retry", (*call).retry},
		{wire.RoleAdmin, "task.update", (*call).update},
		{wire.RoleAdmin, "task.delete", (*call).deleteTasks},
		{wire.RoleAdmin, "worker.drain", (*call).drainWorker},
		{wire.RoleAdmin, "worker.resume", (*call).resumeWorker},
		{wire.RoleAdmin, "worker.remove", (*call).removeWorker},
		{wire.RoleAdmin, "dlq.list", (*call).listDeadLetters},
		{wire.RoleAdmin, "dlq.get", deadLetterVerb(DeadLetters.Get)},
		{wire.RoleAdmin, "dlq.resubmit", deadLetterVerb(DeadLetters.Resubmit)},
		{wire.RoleAdmin, "dlq.delete", deadLetterVerb(DeadLetters.Delete)},
		{wire.RoleAdmin, "log_level", (*call).setLogLevel},
		{wire.RoleAdmin, "export", (*call).export},
		{wire.RoleAdmin, "import", (*call).importRecords},
		{wire.RoleWorker, "heartbeat", (*call).heartbeat},
		{wire.RoleWorker, "report", (*call).report},
	}
}

// outcome is one entry of an answer to many.
type outcome struct {
	Task    *taskState   `json:"task,omitempty"`
	Existed bool         `json:"existed,omitempty"` // of submit: the same task was submitted before
	Error   *model.Error `json:"error,omitempty"`
}

// taskState is a task in an answer to many.
type taskState struct {
	ID     string       `json:"id"`
	Status model.Status `json:"status"`
}

func outcomeOf(id string, a engine.Answer) outcome {
	switch {
	case a.Err != nil:
		return outcome{Error: wire.WithID(id, a.Err)}
	case a.Task == nil:
		return outcome{Error: wire.WithID(id, wire.ErrNoAnswer)}
	}
	return outcome{Task: &taskState{ID: a.Task.ID, Status: a.Task.Status}, Existed: a.Existed}
}

// outcomes encodes an answer to many. Each entry has at most the id of the request and
// a sentence, so it normally fits.
func outcomes(list []outcome, room int) Reply {
	r := answer(map[string][]outcome{"tasks": list})
	if len(r.Body) > room {
		return refuse(model.Errorf(model.CodeTooLarge, "the answer has %d bytes, more than the %d of one message; ask for fewer", len(r.Body), room))
	}
	return r
}

// taskReply answers with one task.
func taskReply(id string, a engine.Answer, room int, public publicTask) Reply {
	switch {
	case a.Err != nil:
		return refuse(wire.WithID(id, a.Err))
	case a.Task == nil:
		return refuse(wire.WithID(id, wire.ErrNoAnswer))
	}
	b, err := encodeTask(a.Task, room, public)
	if err != nil {
		return errorReply(err)
	}
	return Reply{Body: b}
}

// do passes the operations to the backend, which calls done with an answer for each. If
// the backend refuses them, the request is answered with its error.
func (c *call) do(ops []engine.Event, done func([]engine.Answer)) {
	err := c.service.backend.Do(ops, func(answers []engine.Answer) {
		if len(answers) != len(ops) {
			answers = make([]engine.Answer, len(ops))
			for i := range answers {
				answers[i].Err = wire.ErrNoAnswer
			}
		}
		done(answers)
	})
	if err != nil {
		c.reply(refuse(err))
	}
}

// submit accepts one spec or many. In a list, bad specs are answered beside the good
// ones.
func (c *call) submit() {
	list, many, err := wire.DecodeSubmit(c.data, c.via.Room())
	if err != nil {
		c.service.rejected(err.Code)
		c.reply(refuse(err))
		return
	}
	c.service.limiter.charge(limitedBy(&c.from), len(list), c.began)
	for i := range list {
		if list[i].Err == nil {
			list[i].Err = checkTorrent(list[i].Spec)
		}
	}
	if !many && list[0].Err != nil {
		c.service.rejected(list[0].Err.Code)
		c.reply(refuse(list[0].Err))
		return
	}
	results := make([]outcome, len(list))
	var ops []engine.Event
	var at []int // the index in results of each op
	trace := traceparent(c.via)
	for i, one := range list {
		if one.Err != nil {
			c.service.rejected(one.Err.Code)
			results[i].Error = one.Err
			continue
		}
		op := engine.Submit{Client: c.from.Name, Spec: one.Spec, Hash: one.Spec.Hash(), Chosen: one.Spec.ID != "", Via: c.via.SubmitVia(), Traceparent: trace}
		if !op.Chosen {
			one.Spec.ID = c.service.ids.next()
		}
		ops, at = append(ops, op), append(at, i)
	}
	if !many {
		c.actOnTask(list[0].Spec.ID, ops[0])
		return
	}
	c.doMany(ops, at, results, func(i int) string { return list[i].Spec.ID })
}

// checkTorrent refuses bytes that are no torrent: without a worker for BitTorrent such a
// task would wait forever.
func checkTorrent(spec *model.TaskSpec) *model.Error {
	if len(spec.Torrent) == 0 {
		return nil
	}
	if _, err := torrent.Parse(spec.Torrent); err != nil {
		return wire.WithID(spec.ID, model.Errorf(model.CodeInvalid, "torrent: %v", err))
	}
	return nil
}

// doMany passes the ops to the backend, puts their answers into results at the indexes
// in at, and answers with all results.
func (c *call) doMany(ops []engine.Event, at []int, results []outcome, id func(i int) string) {
	c.doEach(ops, func(n int, a engine.Answer) {
		results[at[n]] = outcomeOf(id(at[n]), a)
	}, func(room int) Reply { return outcomes(results, room) })
}

// doEach passes the ops to the backend, calls put with the answer to each, and answers
// with all, at once if there is no op.
func (c *call) doEach(ops []engine.Event, put func(n int, a engine.Answer), all func(room int) Reply) {
	if len(ops) == 0 {
		c.replyAsync(all)
		return
	}
	c.do(ops, func(answers []engine.Answer) {
		for n, a := range answers {
			put(n, a)
		}
		c.replyFromLoop(all)
	})
}

func (c *call) getTasks() {
	ids, many, err := wire.DecodeIDs(c.data)
	if err != nil {
		c.reply(refuse(err))
		return
	}
	get := func(ctx context.Context, id string) engine.Answer {
		if err := wire.CheckID(id); err != nil {
			return engine.Answer{Err: err}
		}
		t, err := c.service.backend.Task(ctx, c.from.Name, id)
		if err != nil {
			return engine.Answer{Err: errorReply(err).Err}
		}
		return engine.Answer{Task: t}
	}
	c.read(func(ctx context.Context, room int) Reply {
		if !many {
			return taskReply(ids[0], get(ctx, ids[0]), room, (*model.Task).PublicWithHistory)
		}
		return tasksReply(ids, room, func(id string) engine.Answer { return get(ctx, id) })
	})
}

// tasksReply answers with the tasks of the ids, in order, as many as fit; next is the
// first id that is left out. A task that does not fit alone is an error in its place.
func tasksReply(ids []string, room int, get func(id string) engine.Answer) Reply {
	var rows [][]byte
	left, next := room-wire.RowRoom, ""
	for _, id := range ids {
		row, err := taskEntry(id, get(id), room-2*wire.RowRoom)
		if err != nil {
			return errorReply(err)
		}
		if left -= len(row) + 1; left < 0 {
			next = id
			break
		}
		rows = append(rows, row)
	}
	return Reply{Body: wire.Object("tasks", rows, &next)}
}

// taskEntry encodes {"task":…} or {"error":…}.
func taskEntry(id string, a engine.Answer, room int) ([]byte, error) {
	if a.Err != nil || a.Task == nil {
		return wire.Encode(outcomeOf(id, a))
	}
	task, err := encodeTask(a.Task, room, (*model.Task).PublicWithHistory)
	if err != nil {
		return wire.Encode(outcome{Error: wire.WithID(id, model.AsError(err))})
	}
	return slices.Concat([]byte(`{"task":`), task, []byte("}")), nil
}

func (c *call) listTasks() {
	q, err := wire.DecodeList(c.data, c.from.Name)
	if err != nil {
		c.reply(refuse(err))
		return
	}
	c.read(func(ctx context.Context, room int) Reply {
		return page("tasks", q.Limit, room, func(limit int) ([][]byte, string, error) {
			ask := *q
			ask.Limit = limit
			p, err := c.service.backend.Tasks(ctx, &ask)
			if err != nil {
				return nil, "", err
			}
			rows, err := encodeRows(p.Tasks, func(t *model.Task) ([]byte, error) {
				return encodeTaskRow(t, room-wire.RowRoom)
			})
			return rows, p.Next, err
		})
	})
}

func (c *call) listWorkers() {
	q, err := wire.DecodeWorkers(c.data)
	if err != nil {
		c.reply(refuse(err))
		return
	}
	c.read(func(ctx context.Context, room int) Reply {
		return page("workers", q.Limit, room, func(limit int) ([][]byte, string, error) {
			ask := *q
			ask.Limit = limit
			p, err := c.service.backend.Workers(ctx, &ask)
			if err != nil {
				return nil, "", err
			}
			rows, err := encodeRows(p.Workers, func(w *model.Worker) ([]byte, error) { return encodeWorker(w, room-wire.RowRoom) })
			return rows, p.Next, err
		})
	})
}

// encodeRows encodes the rows of a page.
func encodeRows[T any](list []T, encode func(T) ([]byte, error)) ([][]byte, error) {
	rows := make([][]byte, len(list))
	for i, one := range list {
		var err error
		if rows[i], err = encode(one); err != nil {
			return nil, err
		}
	}
	return rows, nil
}

// page answers with a list within room bytes. If the requested rows do not fit, it
// reads again with a smaller limit, because only the store knows the cursor after them.
func page(key string, limit, room int, ask func(limit int) (rows [][]byte, next string, err error)) Reply {
	for limit > 0 {
		rows, next, err := ask(limit)
		if err != nil {
			return errorReply(err)
		}
		n := countFitting(rows, room-len(next))
		if n == len(rows) {
			return Reply{Body: wire.Object(key, rows, &next)}
		}
		limit = min(n, limit-1) // rows may grow between two reads: never repeat the same limit
	}
	return refuse(model.Errorf(model.CodeTooLarge, "%s: one row is larger than a message", key))
}

func (c *call) getWorker() {
	id, err := wire.DecodeWorker(c.data)
	if err != nil {
		c.reply(refuse(err))
		return
	}
	c.read(func(ctx context.Context, room int) Reply {
		w, err := c.service.backend.Worker(ctx, id)
		if err != nil {
			return refuse(wire.WithID(id, errorReply(err).Err))
		}
		return workerReply(id, w, room)
	})
}

// workerReply answers with one worker.
func workerReply(id string, w *model.Worker, room int) Reply {
	b, err := encodeWorker(w, room)
	if err != nil {
		return errorReply(err)
	}
	if len(b) > room {
		return refuse(model.Errorf(model.CodeTooLarge, "worker %s has %d bytes, more than one message", id, len(b)).For(id))
	}
	return Reply{Body: b}
}

func (c *call) status() {
	var nothing struct{}
	if err := wire.DecodeOptional(c.data, &nothing); err != nil {
		c.reply(refuse(err))
		return
	}
	c.read(func(ctx context.Context, _ int) Reply {
		status, err := c.service.backend.Status(ctx)
		if err != nil {
			return errorReply(err)
		}
		now := *status
		now.Version, now.Role, now.Term = c.service.version, c.service.role(), c.service.term()
		return answer(&now)
	})
}
