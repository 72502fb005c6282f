package oracle

import (
	"slices"
	"strings"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// checkFairTurns requires that clients take turns within a priority: while one client's task
// waits, another client gets no more turns than the first one had asked for, and
// a few.
func (c *Oracle) checkFairTurns(e *taskHistory) {
	t := e.row
	if t.Attempt != 1 || e.imported || c.hasCooledDown(e) || !fitsAnyWorker(t) || c.cfg.PerHost > 0 || len(c.cfg.Hosts) > 0 || c.cfg.Ageing > 0 || e.requests[verbUpdate]+e.requests[verbRetry] > 0 {
		return
	}
	k := c.worker(t.WorkerID)
	for _, o := range c.taskOrder {
		if o.row == nil || o.row.Status != model.StatusPending || o.row.Client == t.Client || o.row.Priority != t.Priority ||
			!c.isUntouched(o) || !fitsAnyWorker(o.row) || !c.waitsFor(o, k) || c.isChangedInTurn(o.id) {
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

// fitsAnyWorker reports whether every worker can do the task.
func fitsAnyWorker(t *model.Task) bool {
	return len(t.Tags) == 0 && t.Folder == "" && strings.HasPrefix(t.URL, "https:")
}
