package oracle

import (
	"strings"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// checkReason requires a reason for each pending task.
func (c *Oracle) checkReason(e *taskHistory, reason string) {
	if e.row.Status == model.StatusPending && reason == "" {
		c.violate("waits-for-a-reason", "%s is pending without a reason", e.id)
	}
}

// checkAwaitedWorker requires that no task waits for one worker alone that takes nothing.
func (c *Oracle) checkAwaitedWorker(e *taskHistory, reason string) {
	rest, ok := strings.CutPrefix(reason, "waits for the worker ")
	name, _, _ := strings.Cut(rest, ",")
	k := c.workers[name]
	if !ok || k == nil || !k.registered || k.heartbeat == nil {
		return
	}
	if !k.isLive || k.heartbeat.State != model.StateReady || c.isDrained(k) {
		c.violate("waits-for-a-reason", "%s %s; that is %s, drained or gone", e.id, reason, k.heartbeat.State)
	}
}
