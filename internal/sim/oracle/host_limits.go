package oracle

import (
	"strings"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// checkHostLimit requires that what was just given out leaves its host within the limit.
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

// hostOf is the host of a task, in lower case.
func hostOf(t *model.Task) string {
	_, rest, _ := strings.Cut(t.URL, "://")
	host, _, _ := strings.Cut(rest, "/")
	name, _, _ := strings.Cut(host, ":")
	return strings.ToLower(strings.TrimSuffix(name, "."))
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
