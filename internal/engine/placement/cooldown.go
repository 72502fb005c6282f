package engine

import (
	"strings"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// cooldown keeps the tasks of one client from the host of their url after that host
// answered one of them with Retry-After. While the wait lasts none of them begins.
// Then one begins at a time, until one makes progress or trialTime is over. Tasks of
// other clients and at other hosts are not concerned. The host is that of the spec; what
// a worker reports as its host decides nothing.
//
// Tasks are moved to host queues of the cool-down when it is their turn to be placed, each
// once. A cool-down closes and opens its host queues, as a host that is full does.
type cooldown struct {
	client *client
	site   uint64
	host   string
	phase  coolPhase
	until  model.Time // end of the phase, on the steady clock
	trial  *task      // it has begun; the others wait for it
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
func (t *task) coolOf() *cooldown { return t.client.cooldowns[t.site] }

// acceptRetryAfter returns the wait that a failure asks for within the bounds, 0 if it
// asks for none.
func (e *Engine) acceptRetryAfter(why *model.TaskError, after model.Duration) model.Duration {
	if after <= 0 || why.Class != model.ClassRetryable {
		return 0
	}
	const second = model.Duration(1_000_000_000)
	return min((after+second-1)/second*second, e.cfg.RetryAfterMax)
}

// coolDown begins or extends the cool-down of the host that a task was refused by.
func (e *Engine) coolDown(t *task, host string, wait model.Duration) {
	c := t.coolOf()
	if c == nil {
		if t.site == 0 || e.cooldowns >= maxCooldowns || len(t.client.cooldowns) >= maxClientCooldowns {
			return
		}
		c = &cooldown{client: t.client, site: t.site, host: host}
		if t.client.cooldowns == nil {
			t.client.cooldowns = make(map[uint64]*cooldown)
		}
		t.client.cooldowns[t.site] = c
		e.cooldowns++
	}
	until := e.steady.Add(wait)
	if c.phase == coolWait {
		until = max(until, c.until)
	}
	e.setCool(c, coolWait, nil, until)
}

// loadRetryAfter takes over from a row what its last failure asked for. A wait that is
// not over is a cool-down again.
func (e *Engine) loadRetryAfter(t *task, row *model.Task) {
	if row.Error.Waits > 0 {
		t.ensureExtra().waits = clampCount(row.Error.Waits)
	}
	if row.Error.RetryAfter <= 0 || row.Status != model.StatusPending || row.RetryAt <= e.now {
		return
	}
	t.ensureExtra().asked = true
	e.coolDown(t, row.Host(), min(row.RetryAt.Sub(e.now), e.cfg.RetryAfterMax))
}

// setCool changes a cool-down, and opens or closes its host queues.
func (e *Engine) setCool(c *cooldown, phase coolPhase, trial *task, until model.Time) {
	before := c.closed()
	c.phase, c.trial, c.until = phase, trial, until
	if phase == coolOpen {
		e.cooling.remove(c)
	} else {
		e.cooling.fix(c)
	}
	if now := c.closed(); now != before {
		for _, l := range c.queues {
			switch {
			case l.host.full():
			case now:
				e.queue.parkQueue(l)
			default:
				e.queue.unparkQueue(l)
			}
		}
	}
	e.tidyCool(c)
}

// tidyCool forgets a cool-down that is over and has no host queue.
func (e *Engine) tidyCool(c *cooldown) {
	if c != nil && c.phase == coolOpen && len(c.queues) == 0 && c.client.cooldowns[c.site] == c {
		delete(c.client.cooldowns, c.site)
		e.cooldowns--
	}
}

// endCoolPhase is for a cool-down with a phase that is over.
func (e *Engine) endCoolPhase(c *cooldown) {
	if c.phase == coolWait {
		e.setCool(c, coolTrial, nil, e.steady.Add(trialTime))
		return
	}
	e.setCool(c, coolOpen, nil, 0)
	e.forgetClient(c.client)
}

// park moves a task, which is in no queue, to a host queue of its cool-down.
func (e *Engine) park(t *task, c *cooldown) {
	s := t.queue.group.set
	e.move(t, placementKey{requirements: s.requirements, excluded: s.excluded, boundTo: s.boundTo, host: t.queue.host, priority: t.priority(), cool: c})
}

// beginTrial notes that a task is assigned: after a wait the others wait for it.
func (e *Engine) beginTrial(t *task) {
	if c := t.coolOf(); c != nil && c.phase == coolTrial && c.trial == nil {
		e.setCool(c, coolTrial, t, c.until)
	}
}

// endTrial is for a task that its worker does not have any more, or that has made
// progress.
func (e *Engine) endTrial(t *task, progress bool) {
	c := t.coolOf()
	switch {
	case c == nil || c.trial != t:
	case progress:
		e.setCool(c, coolOpen, nil, 0)
	default:
		e.setCool(c, coolTrial, nil, c.until)
	}
}

// knownBytes returns the bytes of an assigned task that its worker has reported or had
// kept before.
func (t *task) knownBytes() int64 {
	known := t.run.progress.completed
	if x := t.extraOrZero(); x.lastWorker == t.run.worker.ID {
		known = max(known, x.bytes)
	}
	return known
}

// whyCool says in words what a task of the client waits for at the host.
func (e *Engine) whyCool(c *cooldown) string {
	const way = "; an update of its url goes to another host"
	if c.phase == coolWait {
		return "waits for its host (host_cooldown): " + c.host + " asked this client to wait until " +
			e.now.Add(c.until.Sub(e.steady)).String() + way
	}
	return "waits for its host (host_cooldown): " + c.host + " had asked this client to wait, and the task " +
		c.trial.id + " tries first" + way
}

// countCooling counts the tasks that wait for a cool-down.
func (e *Engine) countCooling() int {
	n := 0
	for _, c := range e.cooling.items { // in any order: only a sum
		if !c.closed() {
			continue
		}
		for _, l := range c.queues {
			if !l.host.full() {
				n += l.tasks.len()
			}
		}
	}
	return n
}
