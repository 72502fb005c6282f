package bus

import (
	"github.com/aria-cluster/dispatcher/internal/engine"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// act makes the handler of a verb that acts on the tasks of {"id"} or {"ids"}.
// The client is empty for an operator, who may act on everybody's.
func act(event func(client, id string) engine.Event) func(*call) {
	return func(c *call) {
		ids, many, err := decodeIDs(c.data)
		c.each(ids, many, err, func(id string) engine.Event { return event(c.from.Name, id) })
	}
}

func (c *call) deleteTasks() {
	ids, many, files, err := decodeDelete(c.data)
	c.each(ids, many, err, func(id string) engine.Event {
		return engine.Delete{Client: c.from.Name, ID: id, Files: files}
	})
}

func (c *call) retry() {
	ids, many, url, err := decodeRetry(c.data)
	c.each(ids, many, err, func(id string) engine.Event {
		return engine.Retry{Client: c.from.Name, ID: id, URL: url}
	})
}

// each hands over what the event makes of each task's id, unless the request could
// not be decoded.
func (c *call) each(ids []string, many bool, err *model.Error, event func(id string) engine.Event) {
	if err != nil {
		c.reply(refuse(err))
		return
	}
	if !many {
		c.one(ids[0], event(ids[0]))
		return
	}
	results := make([]outcome, len(ids))
	var ops []engine.Event
	var at []int
	for i, id := range ids {
		if err := checkID(id); err != nil {
			results[i].Error = err
			continue
		}
		ops, at = append(ops, event(id)), append(at, i)
	}
	c.doMany(ops, at, results, func(i int) string { return ids[i] })
}

// one hands over an operation on one task and answers with that.
func (c *call) one(id string, op engine.Event) {
	c.do([]engine.Event{op}, func(a []model.Answer) {
		c.later(func(room int) reply { return taskReply(id, a[0], room) })
	})
}

func (c *call) update() {
	id, change, err := decodeUpdate(c.data, roomOf(c.service.conn.Current()))
	if err != nil {
		c.reply(refuse(err))
		return
	}
	c.one(id, engine.Update{Client: c.from.Name, ID: id, Change: change})
}

func (c *call) drainWorker() {
	id, err := decodeWorker(c.data)
	c.onWorker(id, err, engine.DrainWorker{ID: id})
}

func (c *call) resumeWorker() {
	id, err := decodeWorker(c.data)
	c.onWorker(id, err, engine.ResumeWorker{ID: id})
}

func (c *call) removeWorker() {
	id, force, err := decodeRemove(c.data)
	c.onWorker(id, err, engine.RemoveWorker{ID: id, Force: force})
}

// onWorker hands over an operation on one worker and answers with that, unless the
// request could not be decoded.
func (c *call) onWorker(id string, err *model.Error, op engine.Event) {
	if err != nil {
		c.reply(refuse(err))
		return
	}
	c.do([]engine.Event{op}, func(a []model.Answer) {
		c.later(func(room int) reply {
			switch {
			case a[0].Err != nil:
				return refuse(about(id, a[0].Err))
			case a[0].Worker == nil:
				return refuse(about(id, errNoAnswer))
			}
			return workerReply(id, a[0].Worker, room)
		})
	})
}

// decodeDelete reads the ids of a delete, and whether the files go too.
func decodeDelete(data []byte) (ids []string, many, files bool, err *model.Error) {
	var body struct {
		idsBody
		Files bool `json:"files"`
	}
	if err := small(data, &body); err != nil {
		return nil, false, false, err
	}
	ids, many, err = body.list()
	return ids, many, body.Files, err
}

// decodeRetry reads the ids of a retry, and the URL that one task gets with it.
func decodeRetry(data []byte) (ids []string, many bool, url string, err *model.Error) {
	var body struct {
		idsBody
		URL *string `json:"url"`
	}
	if err := small(data, &body); err != nil {
		return nil, false, "", err
	}
	ids, many, err = body.list()
	if err != nil || body.URL == nil {
		return ids, many, "", err
	}
	if many {
		return nil, true, "", model.Errorf(model.CodeInvalid, "url: goes with one id, not with ids")
	}
	spec := model.TaskSpec{URL: *body.URL} // the rest of the task's is not known here
	return ids, false, *body.URL, about(ids[0], model.AsError(spec.Validate()))
}

// wireUpdate is a [model.TaskUpdate] as a client writes it.
type wireUpdate struct {
	ID *string `json:"id"`
	model.TaskUpdate
	Options *wireOptions `json:"options"`
}

// decodeUpdate reads what is to change in one task. That it suits the task, such
// as mirrors one with a url, is found out later.
func decodeUpdate(data []byte, room int) (id string, change *model.TaskUpdate, err *model.Error) {
	var body wireUpdate
	err = strict(data, &body)
	switch {
	case err != nil:
		return "", nil, naming(data, err)
	case body.ID == nil:
		return "", nil, model.Errorf(model.CodeInvalid, "id: is missing")
	}
	if err = checkID(*body.ID); err == nil {
		err = body.finish(len(data), room)
	}
	return *body.ID, &body.TaskUpdate, about(*body.ID, err)
}

// finish merges the two places of tags and validates. Options of nothing but tags
// change the tags alone.
func (w *wireUpdate) finish(size, room int) *model.Error {
	u := &w.TaskUpdate
	if o := w.Options; o != nil && o.tags != nil {
		var tags map[string]string
		if u.Tags != nil {
			tags = *u.Tags
		}
		tags, err := mergeTags(tags, o.tags)
		if err != nil {
			return err
		}
		u.Tags = &tags
	}
	if o := w.Options; o != nil && (o.options != nil || o.tags == nil) {
		u.Options = &o.options
	}
	if u.Empty() {
		return model.Errorf(model.CodeInvalid,
			"body: changes nothing; one of priority, options, tags, url, mirrors, not_before, labels is needed")
	}
	spec := model.TaskSpec{URL: "https://host/file"} // any; that of the task is not known here
	if err := u.Apply(&spec); err != nil {
		return err
	}
	return fits(&spec, size, room)
}

// decodeWorker reads the one worker of a request.
func decodeWorker(data []byte) (string, *model.Error) {
	ids, many, err := decodeIDs(data)
	return oneWorker(ids, many, err)
}

// decodeRemove reads the one worker to remove, and whether also a living one.
func decodeRemove(data []byte) (id string, force bool, err *model.Error) {
	var body struct {
		idsBody
		Force bool `json:"force"`
	}
	if err := small(data, &body); err != nil {
		return "", false, err
	}
	id, err = oneWorker(body.list())
	return id, body.Force, err
}

func oneWorker(ids []string, many bool, err *model.Error) (string, *model.Error) {
	switch {
	case err != nil:
		return "", err
	case many:
		return "", model.Errorf(model.CodeInvalid, "ids: one worker at a time; use id")
	}
	return ids[0], nil
}
