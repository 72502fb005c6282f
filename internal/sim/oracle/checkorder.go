package oracle

import (
	"slices"
	"strings"

	"github.com/aria-cluster/dispatcher/internal/engine"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

func (c *Oracle) tagsOnlyRank() bool { return c.cfg.Strategy == engine.StrategyTags }

// drained reports whether an operator has the worker take nothing new.
func (c *Oracle) drained(k *known) bool {
	row := c.workerRows[k.name]
	return row != nil && row.Drained
}

// healthy reports whether a worker is not at its end in every respect.
func healthy(k *known) bool {
	m := &k.beat.HealthMetrics
	return m.CPUUsage < 100 || m.MemoryUsage < 100 || m.DiskUsage < 100
}

// roomy reports whether the worker surely has room for the whole file.
func roomy(k *known, t *model.Task) bool {
	return t.TotalLength < 1<<20 || k.beat.HealthMetrics.DiskFree >= t.TotalLength*5/4
}

// hostOf is the host of a task, in lower case.
func hostOf(t *model.Task) string {
	_, rest, _ := strings.Cut(t.URL, "://")
	host, _, _ := strings.Cut(rest, "/")
	name, _, _ := strings.Cut(host, ":")
	return strings.ToLower(strings.TrimSuffix(name, "."))
}

// hostLimit is how many tasks may be at a task's host at once, 0 = any number.
func (c *Oracle) hostLimit(t *model.Task) int {
	host := hostOf(t)
	if host == "" {
		return 0
	}
	if limit, ok := c.cfg.Hosts[host]; ok {
		return limit
	}
	return c.cfg.PerHost
}

// atHost counts the tasks that workers do at a host, and those that may still be
// stopping there.
func (c *Oracle) atHost(host string) (running, stopping int) {
	for _, e := range c.order {
		switch {
		case e.row == nil || hostOf(e.row) != host:
		case e.row.Status.Active():
			running++
		}
	}
	for _, name := range c.names {
		for id := range c.workers[name].stopping { // in any order: a sum
			if row := c.ledger[id].row; row == nil || hostOf(row) == host || c.ledger[id].asked[asUpdate] > 0 {
				stopping++
			}
		}
	}
	return running, stopping
}

// checkHost asks that what was just given out leaves its host within the limit.
func (c *Oracle) checkHost(e *entry) {
	limit := c.hostLimit(e.row)
	if limit == 0 || c.asked(e.id, asUpdate) {
		return
	}
	if n, _ := c.atHost(hostOf(e.row)); n > limit {
		c.violate("host-limits", "%s is given out: %d tasks are at %s, and %d may be", e.id, n, hostOf(e.row), limit)
	}
}

func (c *Oracle) hostHasRoom(e *entry) bool {
	limit := c.hostLimit(e.row)
	if limit == 0 {
		return true
	}
	running, stopping := c.atHost(hostOf(e.row))
	return running+stopping < limit
}

// goesBefore reports whether o has to be placed before e for its priority. With
// ageing a wait counts too; then it is certain only if o is alone in its priority,
// and was in this whole turn.
func (c *Oracle) goesBefore(o, e *entry) bool {
	ageing := ms(c.cfg.Ageing)
	if ageing == 0 {
		return o.row.Priority > e.row.Priority
	}
	if o.row.Priority == e.row.Priority || c.setBackAt > 0 {
		return false
	}
	for _, other := range c.order {
		if other != o && other.row != nil && other.row.Priority == o.row.Priority && (other.row.Status == model.StatusPending || c.inTurn(other.id)) {
			return false
		}
	}
	age := func(t *model.Task) model.Time { return t.CreatedAt - ageing*model.Time(t.Priority) }
	return age(o.row) < age(e.row)
}

// plain reports whether a task that waits has never waited for anything but its
// turn and a slot.
func (e *entry) plain() bool {
	t := e.row
	return !e.moved && t.Attempt == 0 && t.NotBefore == 0 && e.asked[asUpdate]+e.asked[asRetry]+e.asked[asPause] == 0
}

// simple reports whether every worker can do the task.
func simple(t *model.Task) bool {
	return len(t.Tags) == 0 && t.Folder == "" && strings.HasPrefix(t.URL, "https:")
}

// checkFair asks that clients take turns within a priority: while one client's task
// waits, another client gets no more turns than the first one had asked for, and
// a few.
func (c *Oracle) checkFair(e *entry) {
	t := e.row
	if t.Attempt != 1 || e.moved || !simple(t) || c.cfg.PerHost > 0 || len(c.cfg.Hosts) > 0 || c.cfg.Ageing > 0 || e.asked[asUpdate]+e.asked[asRetry] > 0 {
		return
	}
	k := c.worker(t.WorkerID)
	for _, o := range c.order {
		if o.row == nil || o.row.Status != model.StatusPending || o.row.Client == t.Client || o.row.Priority != t.Priority ||
			!o.plain() || !simple(o.row) || !c.waitsFor(o, k) || c.inTurn(o.id) {
			continue
		}
		if o.overtaken == nil {
			o.overtaken = make(map[string]int)
		}
		o.overtaken[t.Client]++
		if n, most := o.overtaken[t.Client], c.turnsOf(o)+3; n > most {
			c.violate("fair-turns", "%s of %s waits while %s gets %d turns, and %d would be its due", o.id, o.row.Client, t.Client, n, most)
		}
	}
}

// turnsOf counts what the client of a task has asked for before it, in its priority.
func (c *Oracle) turnsOf(o *entry) int {
	n := 0
	for _, e := range c.order {
		own := slices.ContainsFunc(e.wishes, func(s submission) bool { return s.client == o.row.Client })
		if own && (e.row == nil || e.row.Seq < o.row.Seq) {
			n += 1 + e.asked[asUpdate] + e.asked[asRetry]
		}
	}
	return n
}

// roomFor reports whether a refused submit was within every limit.
func (c *Oracle) roomFor(client string) bool {
	waiting, own, asked := 0, 0, 0
	for _, e := range c.order {
		if e.row == nil || e.row.Status != model.StatusPending && e.row.Status != model.StatusPaused && !c.inTurn(e.id) {
			continue
		}
		waiting++
		if e.row.Client == client {
			own++
		}
	}
	for _, m := range c.turn.calls {
		asked += len(m.Ops)
	}
	return int64(waiting+asked) < c.cfg.MaxPending && (c.cfg.ClientPending == 0 || int64(own+asked) < c.cfg.ClientPending)
}

// checkLimits asks that nothing was taken in past the limits.
func (c *Oracle) checkLimits() {
	born := false
	for _, ch := range c.turn.changes {
		born = born || ch.before == nil
	}
	if !born {
		return
	}
	waiting, own := int64(0), make(map[string]int64)
	for _, e := range c.order {
		if e.row != nil && (e.row.Status == model.StatusPending || e.row.Status == model.StatusPaused) && !c.inTurn(e.id) {
			waiting++
			own[e.row.Client]++
		}
	}
	for _, ch := range c.turn.changes {
		if ch.before != nil || ch.after == nil {
			continue
		}
		if waiting >= c.cfg.MaxPending || c.cfg.ClientPending > 0 && own[ch.after.Client] >= c.cfg.ClientPending {
			c.violate("limits", "%s is taken in: %d tasks wait, %d of %s", ch.e.id, waiting, own[ch.after.Client], ch.after.Client)
		}
	}
}
