package oracle

import "github.com/aria-cluster/dispatcher/pkg/model"

// checkReady requires a worker that is ready, healthy and not drained.
func (c *Oracle) checkReady(e *taskHistory, k *workerHistory) {
	if k.heartbeat.State != model.StateReady || c.isDrained(k) || !isHealthy(k) {
		c.violate("places-only-where-wanted", "%s is assigned to %s, which is %s, drained or unhealthy", e.id, k.name, k.heartbeat.State)
	}
}
