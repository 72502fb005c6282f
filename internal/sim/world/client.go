package world

import (
	"fmt"

	"github.com/aria-cluster/dispatcher/internal/dispatch"
	"github.com/aria-cluster/dispatcher/internal/engine"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// client asks for downloads, asks again until it is answered, and changes its
// mind.
type client struct {
	w     *world
	name  string
	tasks []*wish
	open  int // requests that are not over
	given int // ids that it was given
}

// wish is a task as its client knows it.
type wish struct {
	id    string
	spec  *model.TaskSpec
	hash  model.Hash
	own   bool // the client chose the id
	acked bool
}

func (w *world) addClient(name string) {
	c := &client{w: w, name: name}
	w.clients = append(w.clients, c)
	r := w.user
	n := 1 + r.IntN(2*w.plan.tasks)
	for i := 0; i < n; {
		many := 1
		if chance(r, 3) {
			many = 1 + r.IntN(n-i)
		}
		wishes := make([]*wish, many)
		for j := range wishes {
			wishes[j] = c.wish(i + j)
		}
		i += many
		w.in(between(r, 0, int(w.plan.trouble*3/4)), func() { c.submit(wishes, 0) })
	}
	for range n + 8 {
		w.in(between(r, 1000, int(w.plan.trouble)), c.act)
	}
}

// wish draws one task.
func (c *client) wish(n int) *wish {
	r := c.w.user
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
		s.NotBefore = epoch + c.w.now + between(r, 1000, int(c.w.plan.trouble))
	case 6:
		s.MaxAttempts = pick(r, 1, 2, 5)
	}
	if c.w.plan.starved && chance(r, 3) {
		s.Tags = map[string]string{"gpu": "yes"}
	}
	w := &wish{id: s.ID, spec: s, hash: s.Hash(), own: !chance(r, 6)}
	return w
}

// submit asks for tasks in one message, and again until that is answered.
func (c *client) submit(wishes []*wish, try int) {
	if try == 0 {
		c.tasks = append(c.tasks, wishes...)
	}
	arrives := func() []engine.Event {
		ops := make([]engine.Event, len(wishes))
		for i, t := range wishes {
			spec := t.spec
			if !t.own { // it gets an id where it arrives, another each time
				named := *t.spec
				c.given++
				named.ID = fmt.Sprintf("%s-given%d", c.name, c.given)
				spec, t.id = &named, named.ID
			}
			ops[i] = engine.Submit{Client: c.name, Spec: spec, Hash: t.hash, Chosen: t.own}
		}
		return ops
	}
	c.ask(arrives, func(answers []dispatch.Answer) {
		var again []*wish
		for i, t := range wishes {
			switch {
			case answers == nil && t.own, answers != nil && retryable(answers[i].Err):
				again = append(again, t)
			case answers != nil && answers[i].Err == nil:
				t.acked = true
			}
		}
		if len(again) > 0 && try < 40 {
			c.open++
			c.w.in(between(c.w.user, 500, 15_000), func() {
				c.open--
				c.submit(again, try+1)
			})
		}
	})
}

func retryable(err *model.Error) bool {
	return err != nil && (err.Code == model.CodeUnavailable || err.Code == model.CodeTooMany)
}

// ask sends a request; done gets its answers, nil if none came in time.
func (c *client) ask(ops func() []engine.Event, done func([]dispatch.Answer)) {
	over := false
	end := func(answers []dispatch.Answer) {
		if !over {
			over = true
			c.open--
			done(answers)
		}
	}
	c.open++
	c.w.in(timeout, func() { end(nil) })
	c.w.request(nil, func(d *dispatcher, answer func(func())) {
		d.take(false, ops(), func(got []dispatch.Answer) { answer(func() { end(got) }) })
	})
}

// act does something with a task that was asked for, one's own or another's.
func (c *client) act() {
	r := c.w.user
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
	if d, ok := op.(engine.Delete); ok && t.own && hashed(c.name, t.id)%2 == 0 {
		// One message deletes the task and submits it again.
		again := engine.Submit{Client: c.name, Spec: t.spec, Hash: t.hash, Chosen: true}
		c.ask(func() []engine.Event { return []engine.Event{d, again} }, func([]dispatch.Answer) {})
		return
	}
	if op != nil {
		c.insist(op, pick(r, 1, 3))
	}
}

// verb draws one of the things that can be done with a task, or, by an operator,
// with a worker.
func (c *client) verb(t *wish) engine.Event {
	r := c.w.user
	who := c.name
	if chance(r, 4) {
		who = "" // an operator
	}
	worker := c.w.workers[r.IntN(len(c.w.workers))].name
	switch r.IntN(16) {
	case 0, 1, 2:
		return engine.Pause{Client: who, ID: t.id}
	case 3, 4, 5:
		return engine.Resume{Client: who, ID: t.id}
	case 6, 7:
		again := engine.Retry{Client: who, ID: t.id}
		if chance(r, 4) {
			again.URL = c.freshURL()
		}
		return again
	case 8, 9:
		return engine.Update{Client: who, ID: t.id, Change: c.change()}
	case 10:
		return engine.Delete{Client: who, ID: t.id}
	case 11:
		return engine.Delete{Client: who, ID: t.id, Files: true}
	case 12:
		return engine.DrainWorker{ID: worker}
	case 13:
		return engine.ResumeWorker{ID: worker}
	case 14:
		return engine.RemoveWorker{ID: worker, Force: chance(r, 2)}
	}
	return engine.Cancel{Client: who, ID: t.id}
}

// change draws an update.
func (c *client) change() *model.TaskUpdate {
	r := c.w.user
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
	r := c.w.user
	return fmt.Sprintf("https://h%d.example/fresh%d.bin", r.IntN(3), r.IntN(1000))
}

// insist asks, and again if that is not answered; a verb that is said twice must do
// no harm.
func (c *client) insist(op engine.Event, tries int) {
	c.ask(func() []engine.Event { return []engine.Event{op} }, func(answers []dispatch.Answer) {
		if tries > 1 && (answers == nil || retryable(answers[0].Err)) {
			c.open++
			c.w.in(between(c.w.user, 100, 8_000), func() {
				c.open--
				c.insist(op, tries-1)
			})
		}
	})
}
