package world

import (
	"fmt"

	"github.com/aria-cluster/dispatcher/internal/engine"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// client submits downloads, repeats requests until they are answered, and changes tasks.
type client struct {
	w            *world
	name         string
	tasks        []*taskWish
	openRequests int // requests that are not over
	assignedIDs  int // ids that it was given
}

// taskWish is a task as its client knows it.
type taskWish struct {
	id    string
	spec  *model.TaskSpec
	hash  model.Hash
	own   bool // the client chose the id
	acked bool
}

func (w *world) addClient(name string) {
	c := &client{w: w, name: name}
	w.clients = append(w.clients, c)
	r := w.clientRand
	n := 1 + r.IntN(2*w.plan.tasks)
	for i := 0; i < n; {
		many := 1
		if chance(r, 3) {
			many = 1 + r.IntN(n-i)
		}
		wishes := make([]*taskWish, many)
		for j := range wishes {
			wishes[j] = c.wish(i + j)
		}
		i += many
		w.planIn(between(r, 0, int(w.plan.faultPhase*3/4)), func() { c.submit(wishes, 0) })
	}
	for range n + 8 {
		w.planIn(between(r, 1000, int(w.plan.faultPhase)), c.actOnTask)
	}
}

// wish draws one task.
func (c *client) wish(n int) *taskWish {
	r := c.w.clientRand
	s := &model.TaskSpec{
		ID:  fmt.Sprintf("%s-%d", c.name, n),
		URL: fmt.Sprintf("https://%s.example/%d.bin", []string{"h0", "h1", "H1", "h2"}[r.IntN(4)], n),
	}
	if chance(r, 2) {
		s.Priority = model.Priority(1 + r.IntN(4))
	}
	switch r.IntN(12) {
	case 0, 1:
		s.Tags = map[string]string{"location": []string{"eu", "us"}[r.IntN(2)]}
	case 2:
		s.Folder = "films"
	case 3:
		s.URL = fmt.Sprintf("magnet:?xt=urn:btih:%040d", n)
	case 4:
		s.Timeout = model.Seconds(float64(pick(r, 10, 30, 90)))
	case 5:
		s.NotBefore = epoch + c.w.now + between(r, 1000, int(c.w.plan.faultPhase))
	case 6:
		s.MaxAttempts = pick(r, 1, 2, 5)
	}
	if c.w.plan.hasMissingTag && chance(r, 3) {
		s.Tags = map[string]string{"gpu": "yes"}
	}
	w := &taskWish{id: s.ID, spec: s, hash: s.Hash(), own: !chance(r, 6)}
	return w
}

// submit submits tasks in one message, and repeats it until it is answered.
func (c *client) submit(wishes []*taskWish, try int) {
	if try == 0 {
		c.tasks = append(c.tasks, wishes...)
	}
	arrives := func() []engine.Event {
		ops := make([]engine.Event, len(wishes))
		for i, t := range wishes {
			spec := t.spec
			if !t.own { // it gets an id where it arrives, another each time
				named := *t.spec
				c.assignedIDs++
				named.ID = fmt.Sprintf("%s-given%d", c.name, c.assignedIDs)
				spec, t.id = &named, named.ID
			}
			ops[i] = engine.Submit{Client: c.name, Spec: spec, Hash: t.hash, Chosen: t.own}
		}
		return ops
	}
	c.request(arrives, func(answers []engine.Answer) {
		var again []*taskWish
		for i, t := range wishes {
			switch {
			case answers == nil && t.own, answers != nil && retryable(answers[i].Err):
				again = append(again, t)
			case answers != nil && answers[i].Err == nil:
				t.acked = true
			}
		}
		if len(again) > 0 && try < 40 {
			c.openRequests++
			c.w.planIn(between(c.w.clientRand, 500, 15_000), func() {
				c.openRequests--
				c.submit(again, try+1)
			})
		}
	})
}

func retryable(err *model.Error) bool {
	return err != nil && (err.Code == model.CodeUnavailable || err.Code == model.CodeTooMany)
}

// request sends a request; done gets its answers, nil after the timeout.
func (c *client) request(ops func() []engine.Event, done func([]engine.Answer)) {
	over := false
	end := func(answers []engine.Answer) {
		if !over {
			over = true
			c.openRequests--
			done(answers)
		}
	}
	c.openRequests++
	c.w.planIn(requestTimeout, func() { end(nil) })
	c.w.request(nil, func(d *dispatcher, answer func(func())) {
		d.receive(false, ops(), func(got []engine.Answer) { answer(func() { end(got) }) })
	})
}

// actOnTask sends a request about a submitted task, its own or that of another client.
func (c *client) actOnTask() {
	r := c.w.clientRand
	if len(c.tasks) == 0 {
		return
	}
	t := c.tasks[r.IntN(len(c.tasks))]
	var op engine.Event
	switch r.IntN(14) {
	case 0, 1:
		op = engine.Cancel{Client: c.name, ID: t.id}
	case 2:
		op = engine.Submit{Client: c.name, Spec: t.spec, Hash: t.hash, Chosen: true}
	case 3:
		other := *t.spec
		other.Labels = map[string]string{"other": "yes"}
		op = engine.Submit{Client: c.name, Spec: &other, Hash: other.Hash(), Chosen: true}
	case 4:
		o := c.w.clients[r.IntN(len(c.w.clients))]
		if o == c {
			return
		}
		op = engine.Submit{Client: o.name, Spec: t.spec, Hash: t.hash, Chosen: true}
		if chance(r, 2) {
			op = engine.Cancel{Client: o.name, ID: t.id}
		}
	case 5:
		op = engine.QueryTasks{IDs: []string{t.id}}
	case 6:
		op = engine.QueryStatus{}
	case 7:
		op = engine.QueryWorkers{WorkerQuery: model.WorkerQuery{Limit: 3}}
	default:
		op = c.verb(t)
	}
	if d, ok := op.(engine.Delete); ok && t.own && hashOf(c.name, t.id)%2 == 0 {
		// One message deletes the task and submits it again.
		again := engine.Submit{Client: c.name, Spec: t.spec, Hash: t.hash, Chosen: true}
		c.request(func() []engine.Event { return []engine.Event{d, again} }, func([]engine.Answer) {})
		return
	}
	if op != nil {
		c.requestUntilAnswered(op, pick(r, 1, 3))
	}
}

// verb draws one of the things that can be done with a task, or, by an operator,
// with a worker.
func (c *client) verb(t *taskWish) engine.Event {
	r := c.w.clientRand
	as := c.name
	if chance(r, 4) {
		as = "" // an operator
	}
	worker := c.w.workers[r.IntN(len(c.w.workers))].name
	switch r.IntN(16) {
	case 0, 1, 2:
		return engine.Pause{Client: as, ID: t.id}
	case 3, 4, 5:
		return engine.Resume{Client: as, ID: t.id}
	case 6, 7:
		again := engine.Retry{Client: as, ID: t.id}
		if chance(r, 4) {
			again.URL = c.freshURL()
		}
		return again
	case 8, 9:
		return engine.Update{Client: as, ID: t.id, Change: c.change()}
	case 10:
		return engine.Delete{Client: as, ID: t.id}
	case 11:
		return engine.Delete{Client: as, ID: t.id, Files: true}
	case 12:
		return engine.DrainWorker{ID: worker}
	case 13:
		return engine.ResumeWorker{ID: worker}
	case 14:
		return engine.RemoveWorker{ID: worker, Force: chance(r, 2)}
	}
	return engine.Cancel{Client: as, ID: t.id}
}

// change draws an update.
func (c *client) change() *model.TaskUpdate {
	r := c.w.clientRand
	u := new(model.TaskUpdate)
	if chance(r, 2) {
		p := model.Priority(1 + r.IntN(4))
		u.Priority = &p
	}
	switch r.IntN(3) {
	case 0:
		url := c.freshURL()
		u.URL = &url
	case 1:
		tags := map[string]string{"location": []string{"eu", "us"}[r.IntN(2)]}
		u.Tags = &tags
	case 2:
		labels := map[string]string{"seen": "yes"}
		u.Labels = &labels
	}
	return u
}

// freshURL draws another source.
func (c *client) freshURL() string {
	r := c.w.clientRand
	return fmt.Sprintf("https://h%d.example/fresh%d.bin", r.IntN(3), r.IntN(1000))
}

// requestUntilAnswered sends a request, and again if it is not answered; a repeated verb
// must be harmless.
func (c *client) requestUntilAnswered(op engine.Event, tries int) {
	c.request(func() []engine.Event { return []engine.Event{op} }, func(answers []engine.Answer) {
		if tries > 1 && (answers == nil || retryable(answers[0].Err)) {
			c.openRequests++
			c.w.planIn(between(c.w.clientRand, 100, 8_000), func() {
				c.openRequests--
				c.requestUntilAnswered(op, tries-1)
			})
		}
	})
}
