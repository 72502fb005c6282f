package api

import (
	"github.com/aria-cluster/dispatcher/internal/engine"
	"github.com/aria-cluster/dispatcher/internal/wire"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// taskVerb returns the handler of a verb that acts on the tasks of {"id"} or {"ids"}.
// The client is empty for an operator, which may act on the tasks of all clients.
func taskVerb(event func(client, id string) engine.Event) func(*call) {
	return func(c *call) {
		ids, many, err := wire.DecodeIDs(c.data)
		c.actOnEach(ids, many, err, func(id string) engine.Event { return event(c.from.Name, id) })
	}
}

func (c *call) deleteTasks() {
	ids, many, files, err := wire.DecodeDelete(c.data)
	c.actOnEach(ids, many, err, func(id string) engine.Event {
		return engine.Delete{Client: c.from.Name, ID: id, Files: files}
	})
}

func (c *call) retry() {
	ids, many, url, err := wire.DecodeRetry(c.data)
	maxSpec := wire.MaxSpec(c.via.Room())
	c.actOnEach(ids, many, err, func(id string) engine.Event {
		return engine.Retry{Client: c.from.Name, ID: id, URL: url, MaxSize: maxSpec}
	})
}

// actOnEach passes the event of each id to the backend, unless the request could not be
// decoded.
func (c *call) actOnEach(ids []string, many bool, err *model.Error, event func(id string) engine.Event) {
	if err != nil {
		c.reply(refuse(err))
		return
	}
	if !many {
		c.actOnTask(ids[0], event(ids[0]))
		return
	}
	results := make([]outcome, len(ids))
	var ops []engine.Event
	var at []int
	for i, id := range ids {
		if err := wire.CheckID(id); err != nil {
			results[i].Error = err
			continue
		}
		ops, at = append(ops, event(id)), append(at, i)
	}
	c.doMany(ops, at, results, func(i int) string { return ids[i] })
}

// actOnTask passes an operation on one task to the backend and answers with the task.
func (c *call) actOnTask(id string, op engine.Event) {
	c.do([]engine.Event{op}, func(a []engine.Answer) {
		c.replyFromLoop(func(room int) Reply { return taskReply(id, a[0], room, (*model.Task).Public) })
	})
}

func (c *call) update() {
	room := c.via.Room()
	id, change, err := wire.DecodeUpdate(c.data, room)
	if err != nil {
		c.reply(refuse(err))
		return
	}
	change.MaxSize = wire.MaxSpec(room)
	c.actOnTask(id, engine.Update{Client: c.from.Name, ID: id, Change: change})
}

func (c *call) drainWorker() {
	id, err := wire.DecodeWorker(c.data)
	c.actOnWorker(id, err, engine.DrainWorker{ID: id})
}

func (c *call) resumeWorker() {
	id, err := wire.DecodeWorker(c.data)
	c.actOnWorker(id, err, engine.ResumeWorker{ID: id})
}

func (c *call) removeWorker() {
	id, force, err := wire.DecodeRemove(c.data)
	c.actOnWorker(id, err, engine.RemoveWorker{ID: id, Force: force})
}

// actOnWorker passes an operation on one worker to the backend and answers with the
// worker, unless the request could not be decoded.
func (c *call) actOnWorker(id string, err *model.Error, op engine.Event) {
	if err != nil {
		c.reply(refuse(err))
		return
	}
	c.do([]engine.Event{op}, func(a []engine.Answer) {
		c.replyFromLoop(func(room int) Reply {
			switch {
			case a[0].Err != nil:
				return refuse(wire.WithID(id, a[0].Err))
			case a[0].Worker == nil:
				return refuse(wire.WithID(id, wire.ErrNoAnswer))
			}
			return workerReply(id, a[0].Worker, room)
		})
	})
}
