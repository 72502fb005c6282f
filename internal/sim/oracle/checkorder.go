package oracle

import (
	"slices"
	"strings"

	"github.com/aria-cluster/dispatcher/internal/engine"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

func (c *Oracle) tagsOnlyRank() bool { return c.cfg.Strategy == engine.StrategyTags }

// isDrained reports whether an operator has the worker take nothing new.
func (c *Oracle) isDrained(k *workerHistory) bool {
	row := c.workerRows[k.name]
	return row != nil && row.Drained
}

// isHealthy reports whether a worker is not at its end in every respect.
func isHealthy(k *workerHistory) bool {
	m := &k.heartbeat.HealthMetrics
	return m.CPUUsage < 100 || m.MemoryUsage < 100 || m.DiskUsage < 100
}

// hasDiskFor reports whether the worker surely has room for the whole file.
func hasDiskFor(k *workerHistory, t *model.Task) bool {
	return t.TotalLength < 1<<20 || k.heartbeat.HealthMetrics.DiskFree >= t.TotalLength*5/4
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

// countAtHost counts the tasks that workers do at a host, and those that may still be
// stopping there.
func (c *Oracle) countAtHost(host string) (running, stopping int) {
	for _, e := range c.taskOrder {
		switch {
		case e.row == nil || hostOf(e.row) != host:
		case e.row.Status.Active():
			running++
		}
	}
	for _, name := range c.workerOrder {
		for id := range c.workers[name].stopping { // in any order: a sum
			if row := c.tasks[id].row; row == nil || hostOf(row) == host || c.tasks[id].requests[verbUpdate] > 0 {
				stopping++
			}
		}
	}
	return running, stopping
}

// checkHostLimit asks that what was just given out leaves its host within the limit.
func (c *Oracle) checkHostLimit(e *taskHistory) {
	limit := c.hostLimit(e.row)
	if limit == 0 || c.isRequestedInTurn(e.id, verbUpdate) {
		return
	}
	if n, _ := c.countAtHost(hostOf(e.row)); n > limit {
		c.violate("host-limits", "%s is given out: %d tasks are at %s, and %d may be", e.id, n, hostOf(e.row), limit)
	}
}

func (c *Oracle) hasHostCapacity(e *taskHistory) bool {
	limit := c.hostLimit(e.row)
	if limit == 0 {
		return true
	}
	running, stopping := c.countAtHost(hostOf(e.row))
	return running+stopping < limit
}

// goesBefore reports whether o has to be placed before e for its priority. With
// ageing a wait counts too; then it is certain only if o is alone in its priority,
// and was in this whole turn.
func (c *Oracle) goesBefore(o, e *taskHistory) bool {
	ageing := millis(c.cfg.Ageing)
	if ageing == 0 {
		return o.row.Priority > e.row.Priority
	}
	if o.row.Priority == e.row.Priority || c.clockSetBackAt > 0 {
		return false
	}
	for _, other := range c.taskOrder {
		if other != o && other.row != nil && other.row.Priority == o.row.Priority && (other.row.Status == model.StatusPending || c.isChangedInTurn(other.id)) {
			return false
		}
	}
	age := func(t *model.Task) model.Time { return t.CreatedAt - ageing*model.Time(t.Priority) }
	return age(o.row) < age(e.row)
}

// isUntouched reports whether a task that waits has never waited for anything but its
// turn and a slot.
func (e *taskHistory) isUntouched() bool {
	t := e.row
	return !e.imported && t.Attempt == 0 && t.NotBefore == 0 && e.requests[verbUpdate]+e.requests[verbRetry]+e.requests[verbPause] == 0
}

// fitsAnyWorker reports whether every worker can do the task.
func fitsAnyWorker(t *model.Task) bool {
	return len(t.Tags) == 0 && t.Folder == "" && strings.HasPrefix(t.URL, "https:")
}

// checkFairTurns asks that clients take turns within a priority: while one client's task
// waits, another client gets no more turns than the first one had asked for, and
// a few.
func (c *Oracle) checkFairTurns(e *taskHistory) {
	t := e.row
	if t.Attempt != 1 || e.imported || !fitsAnyWorker(t) || c.cfg.PerHost > 0 || len(c.cfg.Hosts) > 0 || c.cfg.Ageing > 0 || e.requests[verbUpdate]+e.requests[verbRetry] > 0 {
		return
	}
	k := c.worker(t.WorkerID)
	for _, o := range c.taskOrder {
		if o.row == nil || o.row.Status != model.StatusPending || o.row.Client == t.Client || o.row.Priority != t.Priority ||
			!o.isUntouched() || !fitsAnyWorker(o.row) || !c.waitsFor(o, k) || c.isChangedInTurn(o.id) {
			continue
		}
		if o.overtaken == nil {
			o.overtaken = make(map[string]int)
		}
		o.overtaken[t.Client]++
		if n, most := o.overtaken[t.Client], c.countTurns(o)+3; n > most {
			c.violate("fair-turns", "%s of %s waits while %s gets %d turns, and %d would be its due", o.id, o.row.Client, t.Client, n, most)
		}
	}
}

// countTurns counts what the client of a task has asked for before it, in its priority.
func (c *Oracle) countTurns(o *taskHistory) int {
	n := 0
	for _, e := range c.taskOrder {
		own := slices.ContainsFunc(e.submissions, func(s submission) bool { return s.client == o.row.Client })
		if own && (e.row == nil || e.row.Seq < o.row.Seq) {
			n += 1 + e.requests[verbUpdate] + e.requests[verbRetry]
		}
	}
	return n
}

// isWithinLimits reports whether a refused submit was within every limit.
func (c *Oracle) isWithinLimits(client string) bool {
	waiting, own, asked := 0, 0, 0
	for _, e := range c.taskOrder {
		if e.row == nil || e.row.Status != model.StatusPending && e.row.Status != model.StatusPaused && !c.isChangedInTurn(e.id) {
			continue
		}
		waiting++
		if e.row.Client == client {
			own++
		}
	}
	for _, m := range c.turn.messages {
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
	for _, e := range c.taskOrder {
		if e.row != nil && (e.row.Status == model.StatusPending || e.row.Status == model.StatusPaused) && !c.isChangedInTurn(e.id) {
			waiting++
			own[e.row.Client]++
		}
	}
	for _, ch := range c.turn.changes {
		if ch.before != nil || ch.after == nil {
			continue
		}
		if waiting >= c.cfg.MaxPending || c.cfg.ClientPending > 0 && own[ch.after.Client] >= c.cfg.ClientPending {
			c.violate("limits", "%s is taken in: %d tasks wait, %d of %s", ch.task.id, waiting, own[ch.after.Client], ch.after.Client)
		}
	}
}
