package engine

// Sizes is how much an engine holds, for those who watch that it lets go again.
type Sizes struct {
	Tasks, Workers, Clients                     int
	Sets, Lines, Hosts, Shapes                  int
	Waiting, Scheduled, Watched, Held, Stopping int
	Dirty, Cooldowns                            int
}

// Sizes counts what the engine holds now. It costs a walk over the tasks, the sets
// and the workers.
func (e *Engine) Sizes() Sizes {
	s := Sizes{
		Tasks: len(e.tasks), Workers: len(e.workers), Clients: len(e.clients),
		Sets: len(e.queue.sets), Lines: len(e.queue.lines), Hosts: len(e.queue.hosts.known), Shapes: len(e.queue.shapes),
		Scheduled: e.due.len(), Watched: e.watch.len(), Dirty: len(e.dirty), Cooldowns: e.cooldowns,
	}
	for _, t := range e.tasks { // in any order: only a sum
		if t.held {
			s.Held++
		}
	}
	for _, set := range e.queue.sets { // in any order: only sums
		s.Waiting += set.waiting
	}
	for _, w := range e.workers { // likewise
		s.Stopping += len(w.dropping) + len(w.erase)
	}
	return s
}
