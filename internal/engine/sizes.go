package engine

// Sizes is how much an engine holds, for those who watch that it lets go again.
type Sizes struct {
	Tasks, Workers, Clients                     int
	Sets, HostQueues, Hosts, Classes            int
	Waiting, Scheduled, Watched, Held, Stopping int
	Dirty, Cooldowns                            int
}

// Sizes counts what the engine holds now. It costs a walk over the tasks, the sets
// and the workers.
func (e *Engine) Sizes() Sizes {
	s := Sizes{
		Tasks: len(e.tasks), Workers: len(e.workers), Clients: len(e.clients),
		Sets: len(e.queue.sets), HostQueues: len(e.queue.hostQueues), Hosts: len(e.queue.hosts.known), Classes: len(e.queue.classes),
		Scheduled: e.due.len(), Watched: e.watch.len(), Dirty: len(e.dirtyProgress), Cooldowns: e.cooldowns,
	}
	for _, t := range e.tasks { // in any order: only a sum
		if t.onHold {
			s.Held++
		}
	}
	for _, set := range e.queue.sets { // in any order: only a sum
		s.Waiting += set.waiting
	}
	for _, w := range e.workers { // in the same way
		s.Stopping += len(w.dropping) + len(w.erasures)
	}
	return s
}
