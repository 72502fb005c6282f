package engine

import "github.com/aria-cluster/dispatcher/pkg/model"

// client is a client with live tasks. Clients take turns within a
// priority: start-time fair queueing (Goyal, Vin, Cheng: "Start-time Fair
// Queueing", SIGCOMM 1996) with every task of the same size. A task's turn is one
// after the client's last, and not before the turn that the priority is at, so
// that a client without requests saves no turns up.
type client struct {
	name      string
	waiting   int64 // pending and paused tasks
	queued    [priorities]turns
	cooldowns map[uint64]*cooldown // by task.site
}

// turns is where a client is within one priority.
type turns struct {
	last int64 // turn of its latest task
	live int   // its tasks that have not ended; at 0 it begins again
}

// priorities is how many there are, from 1 on.
const priorities = int(model.PriorityUrgent)

func (e *Engine) clientOf(name string) *client {
	c := e.clients[name]
	if c == nil {
		c = &client{name: name}
		e.clients[name] = c
	}
	return c
}

// countWaiting counts the tasks that wait for a worker or for their client.
func (c *client) countWaiting(s model.Status, n int64) {
	if s == model.StatusPending || s == model.StatusPaused {
		c.waiting += n
	}
}

// forgetClient removes a client without live tasks and without cool-downs.
func (e *Engine) forgetClient(c *client) {
	if len(c.cooldowns) > 0 {
		return
	}
	for i := range c.queued {
		if c.queued[i].live > 0 {
			return
		}
	}
	delete(e.clients, c.name)
}

// takeTurn gives a task its place among the clients' turns in its priority.
func (e *Engine) takeTurn(t *task) {
	q := &t.client.queued[t.queue.group.level()]
	q.live++
	q.last = max(q.last, e.queue.levels[t.queue.group.level()].turn) + 1
	t.vt = q.last
}

// leaveTurn is the reverse, when the task ends or gets another priority.
func (e *Engine) leaveTurn(t *task) {
	q := &t.client.queued[t.queue.group.level()]
	if q.live--; q.live == 0 {
		q.last = 0
	}
}
