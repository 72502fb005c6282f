package placement

// Client is a client with live tasks. Clients take turns within a
// priority: start-time fair queueing (Goyal, Vin, Cheng: "Start-time Fair
// Queueing", SIGCOMM 1996) with every task of the same size. A task's turn is one
// after the client's last, and not before the turn that the priority is at, so
// that a client without requests saves no turns up.
type Client struct {
	Name string
	// Pending is the caller's count of the client's pending and paused tasks. The index
	// keeps it as long as the client has live tasks, and does not use it.
	Pending   int64
	queued    [priorities]turns
	cooldowns map[uint64]*cooldown // by Task.site
}

// turns is where a client is within one priority.
type turns struct {
	last int64 // turn of its latest task
	live int   // its tasks that have not ended; at 0 it begins again
}

// Client returns the client of a name, nil if it has no live task and no cool-down.
func (q *Index) Client(name string) *Client { return q.clients[name] }

func (q *Index) clientOf(name string) *Client {
	c := q.clients[name]
	if c == nil {
		c = &Client{Name: name}
		q.clients[name] = c
	}
	return c
}

// forgetClient removes a client without live tasks and without cool-downs.
func (q *Index) forgetClient(c *Client) {
	if len(c.cooldowns) > 0 {
		return
	}
	for i := range c.queued {
		if c.queued[i].live > 0 {
			return
		}
	}
	delete(q.clients, c.Name)
}

// takeTurn gives a task its place among the clients' turns in its priority.
func (q *Index) takeTurn(t *Task) {
	c := &t.Client.queued[t.queue.group.level()]
	c.live++
	c.last = max(c.last, q.levels[t.queue.group.level()].turn) + 1
	t.vt = c.last
}

// leaveTurn gives the place up, when the task ends or gets another priority.
func (q *Index) leaveTurn(t *Task) {
	c := &t.Client.queued[t.queue.group.level()]
	if c.live--; c.live == 0 {
		c.last = 0
	}
}
