package placement

import "github.com/aria-cluster/dispatcher/pkg/model"

// HostLoad is how many tasks are at a host and wait for it.
type HostLoad struct {
	Host    string
	Running int
	Waiting int // queued
	Limit   int // 0 for a cool-down
	// Client is set for a cool-down: only its tasks wait. Until is the end of the wait that
	// the host asked for, on the steady clock; 0 while one task tries.
	Client string
	Until  model.Time
}

// EachClient calls f for each client with live tasks, in any order. It costs a step a client.
func (q *Index) EachClient(f func(c *Client, live int64)) {
	for _, c := range q.clients {
		live := int64(0)
		for i := range c.queued {
			live += int64(c.queued[i].live)
		}
		if live > 0 {
			f(c, live)
		}
	}
}

// EachHost calls f for each host with a limit and for each cool-down, in any order. It costs
// a step a host with a limit, a host queue and a cool-down, and nothing a task.
func (q *Index) EachHost(f func(HostLoad)) {
	waiting := func(queues []*hostQueue) (n int) {
		for _, l := range queues {
			n += l.tasks.Len()
		}
		return n
	}
	for _, h := range q.hosts.byName {
		f(HostLoad{Host: h.name, Running: h.running, Waiting: waiting(h.queues), Limit: h.limit})
	}
	for _, c := range q.cooling.Items {
		load := HostLoad{Host: c.host, Waiting: waiting(c.queues), Client: c.client.Name}
		if c.phase == coolWait {
			load.Until = c.until
		}
		f(load)
	}
}
