package placement

import "fmt"

// Verify compares what the index counts and sorts with what is there: all tasks that have
// not ended, and how many of them, those that are being stopped too, are at each host.
// connected says that [Index.Place] has run since the last change. It looks at everything:
// it is for tests.
func (q *Index) Verify(tasks []*Task, atHosts map[*Host]int, connected bool) error {
	if err := q.verifyTasks(tasks); err != nil {
		return err
	}
	parked := 0
	for _, s := range q.sets {
		parked += s.parked
		if err := s.verify(q, connected); err != nil {
			return err
		}
	}
	if parked != q.parked {
		return fmt.Errorf("%d tasks are counted as parked, by set %d", q.parked, parked)
	}
	for name, h := range q.hosts.byName {
		if h.running != atHosts[h] || h.running == 0 && len(h.queues) == 0 {
			return fmt.Errorf("host %s counts %d tasks, there are %d, in %d queues", name, h.running, atHosts[h], len(h.queues))
		}
	}
	if err := q.verifyAhead(); err != nil {
		return err
	}
	return q.verifyCooldowns()
}

// verifyAhead compares the set queues that wait for free slots, and the workers from which
// tasks can be taken back, with what is counted.
func (q *Index) verifyAhead() error {
	takeable := 0
	for _, class := range q.sortedClasses {
		var reserved reservations
		for _, m := range class.matches {
			for i := range reserved {
				if m.set.needsSlot() && m.set.byPriority[i].heads.Len() > 0 {
					reserved[i]++
				}
			}
		}
		if reserved != class.reserved {
			return fmt.Errorf("worker class %q counts %v set queues that wait for a free slot, there are %v", class.key, class.reserved, reserved)
		}
		if i := class.takeable.Disorder(); i >= 0 {
			return fmt.Errorf("worker class %q: its workers with tasks to take back are out of order at %d", class.key, i)
		}
		takeable += class.takeable.Len()
	}
	for _, w := range q.sortedWorkers {
		var reserved reservations
		for _, s := range q.bound[w.ID] {
			for i := range reserved {
				reserved[i] += min(int32(s.byPriority[i].heads.Len()), 1)
			}
		}
		if reserved != w.reserved {
			return fmt.Errorf("worker %s counts %v set queues that wait for its slot, there are %v", w.ID, w.reserved, reserved)
		}
	}
	if takeable != q.takeable {
		return fmt.Errorf("%d workers have tasks to take back, counted are %d", takeable, q.takeable)
	}
	return nil
}

func (q *Index) verifyTasks(tasks []*Task) error {
	live, waiting, listed, queued, scheduled, outdated := map[*requirementSet]int{}, map[*requirementSet]int{}, 0, 0, 0, 0
	for _, t := range tasks {
		s := t.queue.group.set
		live[s]++
		if t.inQueue > 0 {
			waiting[s]++
			queued++
		}
		if t.isDeferred() && t.deferral.byClient {
			scheduled++
		}
		if t.isDeferred() && t.deferral.computed != q.clockSteps {
			outdated++
		}
		if t.inQueue > 0 && t.isDeferred() {
			return fmt.Errorf("task %s is queued and due later", t.ID)
		}
		if q.clients[t.Client.Name] != t.Client {
			return fmt.Errorf("task %s: its client is forgotten", t.ID)
		}
	}
	for i := range q.waiting {
		for t := q.waiting[i].first; t != nil; t = t.waitsBefore {
			listed++
			if t.inQueue == 0 || t.queue.group.level() != i || t.waitsBefore != nil && t.waitsBefore.waitsAfter != t {
				return fmt.Errorf("task %s is in the list of priority %d and waits at %d in that of %d", t.ID, i, t.inQueue, t.queue.group.level())
			}
		}
	}
	if listed != queued || scheduled != q.scheduled || outdated != q.outdated {
		return fmt.Errorf("%d tasks are listed, %d queued; %d scheduled, counted %d; %d outdated, counted %d",
			listed, queued, scheduled, q.scheduled, outdated, q.outdated)
	}
	for name, s := range q.sets {
		if s.live != live[s] || s.waiting != waiting[s] || s.live == 0 {
			return fmt.Errorf("set %q counts %d live and %d waiting tasks, there are %d and %d", name, s.live, s.waiting, live[s], waiting[s])
		}
	}
	return nil
}

func (s *requirementSet) verify(q *Index, connected bool) error {
	accepting := 0
	for i, m := range s.matches {
		if int(m.inSet) != i || m.class.matches[m.inClass] != m || (m.inFree > 0) != (m.class.free.Len() > 0) {
			return fmt.Errorf("set %q and worker class %q disagree", s.name, m.class.key)
		}
		accepting += m.class.accepting
	}
	if accepting != s.accepting {
		return fmt.Errorf("set %q counts %d accepting workers, there are %d", s.name, s.accepting, accepting)
	}
	if i := s.free.Disorder(); i >= 0 {
		return fmt.Errorf("set %q: its worker classes are out of order at %d", s.name, i)
	}
	for i := range s.byPriority {
		if err := s.byPriority[i].verify(q, connected); err != nil {
			return fmt.Errorf("set %q, priority %d: %w", s.name, i+1, err)
		}
	}
	return nil
}

func (c *setQueue) verify(q *Index, connected bool) error {
	s := c.set
	if i := c.heads.Disorder(); i >= 0 {
		return fmt.Errorf("its host queues are out of order at %d", i)
	}
	if c.inReady > 0 && c.heads.Len() == 0 {
		return fmt.Errorf("it is ready without a task")
	}
	if connected && len(s.excluded) == 0 && s.boundTo == "" && c.inReady == 0 && c.heads.Len() > 0 && q.pickWorker(c) != nil {
		return fmt.Errorf("it has a task and a worker and is not ready")
	}
	if connected && q.cfg.Ageing == 0 && !s.needsSlot() && c.inReady == 0 && c.heads.Len() > 0 && q.canClaim(c) && c.claims < maxClaims && c.hasMoreThan(int(c.claims)) {
		return fmt.Errorf("it may have a task taken back and is not ready")
	}
	for _, l := range c.heads.Items {
		if l.host.IsFull() || l.tasks.Len() == 0 {
			return fmt.Errorf("a host queue that is empty, or whose host is full, is not parked")
		}
		if i := l.tasks.Disorder(); i >= 0 {
			return fmt.Errorf("the tasks of a host queue are out of order at %d", i)
		}
	}
	return nil
}

// verifyCooldowns compares the cool-downs of the clients with what is counted, and their
// host queues with their phase.
func (q *Index) verifyCooldowns() error {
	all, timed := 0, 0
	for _, c := range q.clients {
		for site, cool := range c.cooldowns {
			all++
			if cool.phase != coolOpen {
				timed++
			}
			if cool.client != c || cool.site != site || cool.phase == coolOpen && len(cool.queues) == 0 {
				return fmt.Errorf("a cool-down at %s is kept without need", cool.host)
			}
			if t := cool.trial; t != nil && (t.site != site || t.inQueue > 0) {
				return fmt.Errorf("the task %s tries the host %s and has no worker", t.ID, cool.host)
			}
			for _, l := range cool.queues {
				if l.isParked() && l.inHeads > 0 || !l.isParked() && l.tasks.Len() > 0 && l.inHeads == 0 {
					return fmt.Errorf("a host queue of %s is parked: %v, and placed: %v", cool.host, l.isParked(), l.inHeads > 0)
				}
			}
		}
	}
	if all != q.cooldowns || timed != q.cooling.Len() {
		return fmt.Errorf("%d cool-downs, %d of them timed; counted are %d and %d", all, timed, q.cooldowns, q.cooling.Len())
	}
	return nil
}

// Position is where a task is in the index, to be compared.
type Position struct {
	queue            *hostQueue
	queued, deferred bool
	due              int64
}

// Position returns where the task is. It is for tests.
func (t *Task) Position() Position {
	due, deferred := t.Due()
	return Position{queue: t.queue, queued: t.inQueue > 0, deferred: deferred, due: int64(due)}
}
