package placement

import (
	"strings"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// cooldown keeps the tasks of one client from the host of their url after that host
// answered one of them with Retry-After. While the wait lasts none of them begins.
// Then one begins at a time, until one makes progress or trialTime is over. Tasks of
// other clients and at other hosts are not affected. The host is that of the spec; what
// a worker reports as its host decides nothing.
//
// Tasks are moved to host queues of the cool-down when it is their turn to be placed, each
// once, and back when it is their turn after the cool-down. A cool-down closes and opens its
// host queues, as a host that is full does. The tasks in them take a free slot only: one that
// tries the host must not wait behind others for the slots of one worker.
type cooldown struct {
	client *Client
	site   uint64
	host   string
	phase  coolPhase
	until  model.Time // end of the phase, on the steady clock
	trial  *Task      // it has begun; the others wait for it
	queues []*hostQueue
	inCool int32
}

type coolPhase uint8

const (
	coolOpen  coolPhase = iota // over; only its host queues are left
	coolWait                   // no task begins
	coolTrial                  // one task begins at a time
)

const (
	// trialTime is how long a host that does not answer clearly holds up the others.
	trialTime = model.Duration(60_000_000_000)
	// maxCooldowns and maxClientCooldowns bound the cool-downs; beyond them only the
	// task that was refused waits.
	maxCooldowns       = 10_000
	maxClientCooldowns = 100
	// maxParked bounds the tasks that one turn moves to host queues of cool-downs.
	maxParked = 4096
)

func (c *cooldown) closed() bool {
	return c != nil && (c.phase == coolWait || c.phase == coolTrial && c.trial != nil)
}

// awaitsTrial reports whether the next task that begins tries the host.
func (c *cooldown) awaitsTrial() bool { return c != nil && c.phase == coolTrial && c.trial == nil }

// siteOf is a hash of the host in a url, FNV-1a, which decides between the hosts of
// one client; 0 where there is no host.
func siteOf(url string) uint64 {
	_, rest, ok := strings.Cut(url, "://")
	if !ok {
		return 0
	}
	if i := strings.IndexAny(rest, "/?#\\"); i >= 0 {
		rest = rest[:i]
	}
	rest = rest[strings.LastIndexByte(rest, '@')+1:]
	if i := strings.LastIndexByte(rest, ':'); i > strings.LastIndexByte(rest, ']') {
		rest = rest[:i]
	}
	rest = strings.TrimSuffix(rest, ".")
	if rest == "" {
		return 0
	}
	h := uint64(14695981039346656037)
	for i := range len(rest) {
		b := rest[i]
		if 'A' <= b && b <= 'Z' {
			b += 'a' - 'A'
		}
		h = (h ^ uint64(b)) * 1099511628211
	}
	return h
}

// coolOf returns the cool-down that concerns a task, or nil.
func (t *Task) coolOf() *cooldown { return t.Client.cooldowns[t.site] }

// CoolDown begins or extends the cool-down of the host that a task was refused by: until
// then, on the steady clock, no task of its client begins there. host names it in reasons.
func (q *Index) CoolDown(t *Task, host string, until model.Time) {
	c := t.coolOf()
	if c == nil {
		if t.site == 0 || q.cooldowns >= maxCooldowns || len(t.Client.cooldowns) >= maxClientCooldowns {
			return
		}
		c = &cooldown{client: t.Client, site: t.site, host: host}
		if t.Client.cooldowns == nil {
			t.Client.cooldowns = make(map[uint64]*cooldown)
		}
		t.Client.cooldowns[t.site] = c
		q.cooldowns++
	}
	if c.phase == coolWait {
		until = max(until, c.until)
	}
	q.setCool(c, coolWait, nil, until)
}

// setCool changes a cool-down, and opens or closes its host queues.
func (q *Index) setCool(c *cooldown, phase coolPhase, trial *Task, until model.Time) {
	before := c.closed()
	c.phase, c.trial, c.until = phase, trial, until
	if phase == coolOpen {
		q.cooling.Remove(c)
	} else {
		q.cooling.Fix(c)
	}
	now := c.closed()
	for _, l := range c.queues {
		switch {
		case l.host.IsFull():
		case now && !before:
			q.parkQueue(l)
		case !now && before:
			q.unparkQueue(l)
		case phase == coolOpen && l.tasks.Len() > 0: // they need no free slot any more
			q.promoteQueue(l)
		}
	}
	q.tidyCool(c)
}

// tidyCool forgets a cool-down that is over and has no host queue.
func (q *Index) tidyCool(c *cooldown) {
	if c != nil && c.phase == coolOpen && len(c.queues) == 0 && c.client.cooldowns[c.site] == c {
		delete(c.client.cooldowns, c.site)
		q.cooldowns--
	}
}

// EndCooldowns ends the phases of cool-downs that are over. now is on the steady clock.
func (q *Index) EndCooldowns(now model.Time) {
	for q.cooling.Len() > 0 && q.cooling.Top().until <= now {
		q.endCoolPhase(q.cooling.Top(), now)
	}
}

func (q *Index) endCoolPhase(c *cooldown, now model.Time) {
	if c.phase == coolWait {
		q.setCool(c, coolTrial, nil, now.Add(trialTime))
		return
	}
	q.setCool(c, coolOpen, nil, 0)
	q.forgetClient(c.client)
}

// park moves a task, which is in no queue, to a host queue of its cool-down.
func (q *Index) park(t *Task, c *cooldown) {
	s := t.queue.group.set
	q.move(t, key{requirements: s.requirements, excluded: s.excluded, boundTo: s.boundTo, host: t.queue.host, priority: t.Priority(), cool: c})
}

// returnFromCool moves a queued task to the host queue that it had before its cool-down, if that
// is over, and reports whether it did.
func (q *Index) returnFromCool(t *Task) bool {
	if c := t.queue.cool; c == nil || c.phase != coolOpen {
		return false
	}
	q.remove(t)
	s := t.queue.group.set
	q.move(t, key{requirements: s.requirements, excluded: s.excluded, boundTo: s.boundTo, host: t.queue.host, priority: t.Priority()})
	q.push(t)
	return true
}

// beginTrial notes that a task is assigned: after a wait the others wait for it.
func (q *Index) beginTrial(t *Task) {
	if c := t.coolOf(); c.awaitsTrial() {
		q.setCool(c, coolTrial, t, c.until)
	}
}

// EndTrial is for a task that its worker does not have any more, or that has made
// progress.
func (q *Index) EndTrial(t *Task, progress bool) {
	c := t.coolOf()
	switch {
	case c == nil || c.trial != t:
	case progress:
		q.setCool(c, coolOpen, nil, 0)
	default:
		q.setCool(c, coolTrial, nil, c.until)
	}
}

// Cooldown is why a task waits for its host.
type Cooldown struct {
	Host  string
	Until model.Time // on the steady clock; while Trial is set, the end of the trial
	Trial string     // the task that the others wait for; "" while the host asked to wait
}

// Cooldown returns the cool-down that the task waits for; ok is false if it waits for no host.
func (t *Task) Cooldown() (c Cooldown, ok bool) {
	own := t.coolOf()
	if !own.closed() {
		return Cooldown{}, false
	}
	c = Cooldown{Host: own.host, Until: own.until}
	if own.phase == coolTrial {
		c.Trial = own.trial.ID
	}
	return c, true
}

// MustWait reports whether the task would have to wait for the host of the url, which asked
// its client to wait.
func (t *Task) MustWait(url string) bool {
	c := t.Client.cooldowns[siteOf(url)]
	return c.closed() && c.trial != t
}

// countCooling counts the tasks that wait for a cool-down.
func (q *Index) countCooling() int {
	n := 0
	for _, c := range q.cooling.Items { // in any order: only a sum
		if !c.closed() {
			continue
		}
		for _, l := range c.queues {
			if !l.host.IsFull() {
				n += l.tasks.Len()
			}
		}
	}
	return n
}
