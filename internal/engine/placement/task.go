package placement

import (
	"slices"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// Task is what placing needs of a task that has not ended. There may be millions: what
// most of them do not have is behind a pointer.
type Task struct {
	// ID, Seq and Created are set before [Index.Add] and never change. Seq is the order of
	// arrival.
	ID      string
	Client  *Client    // set by [Index.Add]
	queue   *hostQueue // where it queues; it is counted there also while it does not
	Seq     int64
	Created model.Time

	site        uint64    // its client's cool-downs go by it, see siteOf
	vt          int64     // its place among the clients' turns, see Client
	deferral    *deferral // set while it is due later; kept afterwards
	waitsAfter  *Task
	waitsBefore *Task
	inQueue     int32
	inWaiting   bool // it is in the list of Index.waiting
}

// deferral is the time at which a task may be placed.
type deferral struct {
	due      model.Time
	inDue    int32
	byClient bool   // its client wants it then
	computed uint32 // Index.clockSteps when due was computed
}

// Constraint narrows which workers a task may be placed on, besides what its spec requires.
type Constraint struct {
	BoundTo  string   // the only worker that may have it, for it holds the partial file; "" = any
	Excluded []string // workers that are passed over, in any order; the index keeps the slice
	Length   int64    // of the file, where it is known: so much disk must be free
}

// precedes is the order of placing within one priority: by the clients' turns, then
// the earlier.
func (t *Task) precedes(u *Task) bool {
	if t.vt != u.vt {
		return t.vt < u.vt
	}
	return t.Seq < u.Seq
}

// Priority returns the priority of the task.
func (t *Task) Priority() model.Priority { return t.queue.group.priority }

// Host returns the host of the task if it has a limit, else nil.
func (t *Task) Host() *Host { return t.queue.host }

// Requirements returns what a worker must have to get the task.
func (t *Task) Requirements() Requirements { return t.queue.group.set.requirements }

// Site returns a number for the host of the task's URL, 0 without one. Ports and limits make no
// difference.
func (t *Task) Site() uint64 { return t.site }

// IsQueued reports whether the task may be placed now.
func (t *Task) IsQueued() bool { return t.inQueue > 0 }

// Due returns when a deferred task may be placed; ok is false for another.
func (t *Task) Due() (due model.Time, ok bool) {
	if t.isDeferred() {
		return t.deferral.due, true
	}
	return 0, false
}

func (t *Task) isDeferred() bool { return t.deferral != nil && t.deferral.inDue > 0 }

// Add registers a task, which is not queued yet. It takes its turn among the clients.
func (q *Index) Add(t *Task, client string, s *model.TaskSpec, p model.Priority) {
	t.Client, t.site = q.clientOf(client), siteOf(s.URL)
	q.attach(t, key{requirements: RequirementsOf(s), host: q.hosts.hostOf(s), priority: p})
}

// Change gives a task, which is queued no longer, another spec or priority. It keeps its
// turn within its priority, and loses its constraint. It returns whether the task is for
// another server now. The caller counts a running task at its new host.
func (q *Index) Change(t *Task, s *model.TaskSpec, p model.Priority) (otherSite bool) {
	if site := siteOf(s.URL); site != t.site {
		q.EndTrial(t, false)
		t.site, otherSite = site, true
	}
	q.Withdraw(t)
	q.move(t, key{requirements: RequirementsOf(s), host: q.hosts.hostOf(s), priority: p})
	return otherSite
}

// Constrain sets the constraint of a task. If that is another one, the task is queued no
// longer.
func (q *Index) Constrain(t *Task, c Constraint) {
	at := t.queue
	s := at.group.set
	h := key{requirements: s.requirements, host: at.host, priority: t.Priority(), boundTo: c.BoundTo, excluded: c.Excluded}
	h.requirements.disk = diskDemand(c.Length)
	if c.BoundTo != "" {
		h.requirements.disk = 0 // a part is there
	}
	slices.Sort(h.excluded)
	if h.boundTo != s.boundTo || h.requirements.disk != s.requirements.disk || !slices.Equal(h.excluded, s.excluded) {
		q.remove(t)
		q.move(t, h)
	}
}

// Remove forgets a task that has ended, and its client with the last of its tasks.
func (q *Index) Remove(t *Task) {
	q.Withdraw(t)
	q.leaveTurn(t)
	q.leaveQueue(t.queue)
	q.forgetClient(t.Client)
}

// Enqueue lets a task be placed from now on.
func (q *Index) Enqueue(t *Task) {
	q.removeDue(t)
	if t.inQueue == 0 {
		q.push(t)
	}
	q.updateWaiting(t)
}

// Defer lets a task be placed from a time on: [Index.NextDue] then returns it. byClient
// says that its client wants it then.
func (q *Index) Defer(t *Task, due model.Time, byClient bool) {
	q.remove(t)
	if t.deferral == nil {
		t.deferral = new(deferral)
	}
	if !t.isDeferred() || t.deferral.due != due { // the same time may be an outdated one
		q.noteComputed(t)
		t.deferral.due = due
		q.due.Fix(t)
	}
	q.setScheduled(t, byClient)
	q.updateWaiting(t)
}

// Withdraw keeps a task from being placed.
func (q *Index) Withdraw(t *Task) {
	q.removeDue(t)
	q.remove(t)
	q.updateWaiting(t)
}

// NextDue returns a deferred task whose time has come, or nil. It stays deferred.
func (q *Index) NextDue(now model.Time) *Task {
	if q.due.Len() > 0 && q.due.Top().deferral.due <= now {
		return q.due.Top()
	}
	return nil
}

// SetBack notes that the wall clock was set back: the times of all deferred tasks are outdated
// until [Index.Reschedule] has looked at them.
func (q *Index) SetBack() {
	q.clockSteps++
	q.outdated, q.rescheduled = q.due.Len(), 0
}

// Reschedule computes outdated times of deferred tasks again, except for those that their clients
// want: these do not depend on the clock. It looks at no more than limit tasks, and reports
// whether there are more. A task may move past those that are looked at next, therefore
// outdated ones are counted, and looked for until none is left.
func (q *Index) Reschedule(limit int, due func(*Task) (at model.Time, byClient bool)) (more bool) {
	for ; q.outdated > 0 && limit > 0; limit-- {
		if q.rescheduled >= q.due.Len() {
			q.rescheduled = 0
		}
		t := q.due.Items[q.rescheduled]
		d := t.deferral
		if d.computed == q.clockSteps || d.byClient {
			q.noteComputed(t)
			q.rescheduled++
			continue
		}
		at, byClient := due(t)
		q.noteComputed(t)
		if d.due != at {
			d.due = at
			q.due.Fix(t) // another one may have its place then: that is looked at next
		}
		q.setScheduled(t, byClient)
	}
	return q.outdated > 0
}

// noteComputed notes that the time of a task is computed now, or not needed any more.
func (q *Index) noteComputed(t *Task) {
	if d := t.deferral; t.isDeferred() && d.computed != q.clockSteps {
		q.outdated--
	}
	t.deferral.computed = q.clockSteps
}

func (q *Index) removeDue(t *Task) {
	if t.isDeferred() {
		q.noteComputed(t)
		q.due.Remove(t)
		q.setScheduled(t, false)
	}
}

// setScheduled counts a task that is due later by the wish of its client.
func (q *Index) setScheduled(t *Task, scheduled bool) {
	if scheduled == t.deferral.byClient {
		return
	}
	if t.deferral.byClient = scheduled; scheduled {
		q.scheduled++
	} else {
		q.scheduled--
	}
}

// FirstBound returns a queued task that waits for this worker alone, or nil.
func (q *Index) FirstBound(worker string) *Task {
	if sets := q.bound[worker]; len(sets) > 0 {
		return sets[0].boundQueues[0].tasks.Top()
	}
	return nil
}

// attach makes a new task belong to a key and take its turn.
func (q *Index) attach(t *Task, h key) {
	q.joinQueue(t, &h)
	q.takeTurn(t)
}

// move makes a task, which is in no queue, belong elsewhere; it keeps its turn
// within its priority.
func (q *Index) move(t *Task, h key) {
	old := t.queue
	if h.priority == old.group.priority {
		q.joinQueue(t, &h)
	} else {
		q.leaveTurn(t)
		q.attach(t, h)
	}
	q.leaveQueue(old)
}
