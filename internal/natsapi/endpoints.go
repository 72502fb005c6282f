package bus

import (
	"context"
	"slices"

	"github.com/aria-cluster/dispatcher/internal/engine"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// endpoint is one kind of request.
type endpoint struct {
	role   Role
	verb   string
	handle func(*call)
}

// rowRoom is what a row leaves free for the cursor after it, in bytes.
const rowRoom = 1 << 10

// endpoints is all that is served.
func (s *Service) endpoints() []endpoint {
	cancel := act(func(client, id string) engine.Event { return engine.Cancel{Client: client, ID: id} })
	pause := act(func(client, id string) engine.Event { return engine.Pause{Client: client, ID: id} })
	resume := act(func(client, id string) engine.Event { return engine.Resume{Client: client, ID: id} })
	return []endpoint{
		{RoleTask, "submit", (*call).submit},
		{RoleTask, "get", (*call).getTasks},
		{RoleTask, "list", (*call).listTasks},
		{RoleTask, "cancel", cancel},
		{RoleTask, "pause", pause},
		{RoleTask, "resume", resume},
		{RoleTask, "retry", (*call).retry},
		{RoleTask, "update", (*call).update},
		{RoleTask, "delete", (*call).deleteTasks},
		{RoleQuery, "task.get", (*call).getTasks},
		{RoleQuery, "task.list", (*call).listTasks},
		{RoleQuery, "worker.get", (*call).getWorker},
		{RoleQuery, "worker.list", (*call).listWorkers},
		{RoleQuery, "status", (*call).status},
		{RoleAdmin, "task.cancel", cancel},
		{RoleAdmin, "task.pause", pause},
		{RoleAdmin, "task.resume", resume},
		{RoleAdmin, "task.retry", (*call).retry},
		{RoleAdmin, "task.update", (*call).update},
		{RoleAdmin, "task.delete", (*call).deleteTasks},
		{RoleAdmin, "worker.drain", (*call).drainWorker},
		{RoleAdmin, "worker.resume", (*call).resumeWorker},
		{RoleAdmin, "worker.remove", (*call).removeWorker},
		{RoleAdmin, "log_level", (*call).setLogLevel},
		{RoleAdmin, "export", (*call).export},
		{RoleAdmin, "import", (*call).importRecords},
		{RoleWorker, "heartbeat", (*call).heartbeat},
		{RoleWorker, "report", (*call).report},
	}
}

// outcome is one entry of an answer to many.
type outcome struct {
	Task  *taskState   `json:"task,omitempty"`
	Error *model.Error `json:"error,omitempty"`
}

// taskState is a task in an answer to many.
type taskState struct {
	ID     string       `json:"id"`
	Status model.Status `json:"status"`
}

func outcomeOf(id string, a model.Answer) outcome {
	switch {
	case a.Err != nil:
		return outcome{Error: about(id, a.Err)}
	case a.Task == nil:
		return outcome{Error: about(id, errNoAnswer)}
	}
	return outcome{Task: &taskState{ID: a.Task.ID, Status: a.Task.Status}}
}

// errNoAnswer says that the backend broke its promise.
var errNoAnswer = model.Errorf(model.CodeInternal, "the dispatcher gave no answer")

// outcomes encodes an answer to many. It always fits: each entry repeats at most
// the id of the request and a sentence.
func outcomes(list []outcome, room int) reply {
	r := answer(map[string][]outcome{"tasks": list})
	if len(r.body) > room {
		return refuse(model.Errorf(model.CodeTooLarge, "the answer has %d bytes, more than the %d of one message; ask for fewer", len(r.body), room))
	}
	return r
}

// taskReply answers with one task.
func taskReply(id string, a model.Answer, room int) reply {
	switch {
	case a.Err != nil:
		return refuse(about(id, a.Err))
	case a.Task == nil:
		return refuse(about(id, errNoAnswer))
	}
	b, err := encodeTask(a.Task, room)
	if err != nil {
		return failed(err)
	}
	return reply{body: b}
}

// do hands the operations over and has done called with an answer for each. When
// they are not taken in, the request is answered with that error at once.
func (c *call) do(ops []engine.Event, done func([]model.Answer)) {
	err := c.service.backend.Do(ops, func(answers []model.Answer) {
		if len(answers) != len(ops) {
			answers = make([]model.Answer, len(ops))
			for i := range answers {
				answers[i].Err = errNoAnswer
			}
		}
		done(answers)
	})
	if err != nil {
		c.reply(refuse(err))
	}
}

// submit takes in one spec or many. Those that are bad are answered beside those
// that are not.
func (c *call) submit() {
	list, many, err := decodeSubmit(c.data, roomOf(c.service.conn.Current()))
	if err != nil {
		c.reply(refuse(err))
		return
	}
	c.service.clients.charge(c.from.Name, len(list), c.began)
	if !many && list[0].err != nil {
		c.reply(refuse(list[0].err))
		return
	}
	results := make([]outcome, len(list))
	var ops []engine.Event
	var at []int // the place in results of each op
	for i, one := range list {
		if one.err != nil {
			results[i].Error = one.err
			continue
		}
		op := engine.Submit{Client: c.from.Name, Spec: one.spec, Hash: one.spec.Hash(), Chosen: one.spec.ID != ""}
		if !op.Chosen {
			one.spec.ID = c.service.ids.next()
		}
		ops, at = append(ops, op), append(at, i)
	}
	if !many {
		c.one(list[0].spec.ID, ops[0])
		return
	}
	c.doMany(ops, at, results, func(i int) string { return list[i].spec.ID })
}

// doMany fills results with the answers of the ops, whose places at gives, and
// answers with all of them.
func (c *call) doMany(ops []engine.Event, at []int, results []outcome, id func(i int) string) {
	all := func(room int) reply { return outcomes(results, room) }
	if len(ops) == 0 {
		c.soon(all)
		return
	}
	c.do(ops, func(answers []model.Answer) {
		for n, a := range answers {
			results[at[n]] = outcomeOf(id(at[n]), a)
		}
		c.later(all)
	})
}

func (c *call) getTasks() {
	ids, many, err := decodeIDs(c.data)
	if err != nil {
		c.reply(refuse(err))
		return
	}
	get := func(ctx context.Context, id string) model.Answer {
		if err := checkID(id); err != nil {
			return model.Answer{Err: err}
		}
		t, err := c.service.backend.Task(ctx, c.from.Name, id)
		if err != nil {
			return model.Answer{Err: failed(err).err}
		}
		return model.Answer{Task: t}
	}
	c.read(func(ctx context.Context, room int) reply {
		if !many {
			return taskReply(ids[0], get(ctx, ids[0]), room)
		}
		return wholeTasks(ids, room, func(id string) model.Answer { return get(ctx, id) })
	})
}

// wholeTasks answers with the tasks of the ids, in order, as many as fit; next is
// the first id that is left out. A task that does not fit alone is an error in its
// place.
func wholeTasks(ids []string, room int, get func(id string) model.Answer) reply {
	var rows [][]byte
	left, next := room-rowRoom, ""
	for _, id := range ids {
		row, err := wholeTask(id, get(id), room-2*rowRoom)
		if err != nil {
			return failed(err)
		}
		if left -= len(row) + 1; left < 0 {
			next = id
			break
		}
		rows = append(rows, row)
	}
	return reply{body: object("tasks", rows, &next)}
}

// wholeTask encodes {"task":…} or {"error":…}.
func wholeTask(id string, a model.Answer, room int) ([]byte, error) {
	if a.Err != nil || a.Task == nil {
		return encode(outcomeOf(id, a))
	}
	task, err := encodeTask(a.Task, room)
	if err != nil {
		return encode(outcome{Error: model.Errorf(model.CodeTooLarge, "%v", err).For(id)})
	}
	return slices.Concat([]byte(`{"task":`), task, []byte("}")), nil
}

func (c *call) listTasks() {
	q, err := decodeList(c.data, c.from.Name)
	if err != nil {
		c.reply(refuse(err))
		return
	}
	c.read(func(ctx context.Context, room int) reply {
		return page("tasks", q.Limit, room, func(limit int) ([][]byte, string, error) {
			ask := *q
			ask.Limit = limit
			p, err := c.service.backend.Tasks(ctx, &ask)
			if err != nil {
				return nil, "", err
			}
			rows := make([][]byte, len(p.Tasks))
			for i, t := range p.Tasks {
				if rows[i], err = encodeTask(t, room-rowRoom); err != nil {
					return nil, "", err
				}
			}
			return rows, p.Next, nil
		})
	})
}

func (c *call) listWorkers() {
	q, err := decodeWorkers(c.data)
	if err != nil {
		c.reply(refuse(err))
		return
	}
	c.read(func(ctx context.Context, room int) reply {
		return page("workers", q.Limit, room, func(limit int) ([][]byte, string, error) {
			ask := *q
			ask.Limit = limit
			p, err := c.service.backend.Workers(ctx, &ask)
			if err != nil {
				return nil, "", err
			}
			rows := make([][]byte, len(p.Workers))
			for i, w := range p.Workers {
				if rows[i], err = encode(w); err != nil {
					return nil, "", err
				}
			}
			return rows, p.Next, nil
		})
	})
}

// page answers a list within room. Where the rows asked for do not fit, it asks
// again for as many as do: only the store knows the cursor after them.
func page(key string, limit, room int, ask func(limit int) (rows [][]byte, next string, err error)) reply {
	for limit > 0 {
		rows, next, err := ask(limit)
		if err != nil {
			return failed(err)
		}
		n := fitting(rows, room-len(next))
		if n == len(rows) {
			return reply{body: object(key, rows, &next)}
		}
		limit = min(n, limit-1) // rows may grow between two asks: never the same again
	}
	return refuse(model.Errorf(model.CodeTooLarge, "%s: one row is larger than a message", key))
}

func (c *call) getWorker() {
	id, err := decodeWorker(c.data)
	if err != nil {
		c.reply(refuse(err))
		return
	}
	c.read(func(ctx context.Context, room int) reply {
		w, err := c.service.backend.Worker(ctx, id)
		if err != nil {
			return refuse(about(id, failed(err).err))
		}
		return workerReply(id, w, room)
	})
}

// workerReply answers with one worker.
func workerReply(id string, w *model.Worker, room int) reply {
	r := answer(w)
	if len(r.body) > room {
		return refuse(model.Errorf(model.CodeTooLarge, "worker %s has %d bytes, more than one message", id, len(r.body)).For(id))
	}
	return r
}

func (c *call) status() {
	var nothing struct{}
	if err := optional(c.data, &nothing); err != nil {
		c.reply(refuse(err))
		return
	}
	c.read(func(ctx context.Context, _ int) reply {
		status, err := c.service.backend.Status(ctx)
		if err != nil {
			return failed(err)
		}
		return answer(status)
	})
}
