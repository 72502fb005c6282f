package oracle

import "github.com/aria-cluster/dispatcher/pkg/model"

// checkCapable requires a worker that has what the task needs.
func (c *Oracle) checkCapable(e *taskHistory, a *model.Task, k *workerHistory) {
	if !c.isCapable(k, a) {
		c.violate("placed-where-possible", "%s (%s, tags %v, folder %q, %d bytes, last at %q) is assigned to %s, which cannot do it: %+v, %d bytes free",
			e.id, a.URL, a.Tags, a.Folder, a.TotalLength, a.LastWorkerID, k.name, k.heartbeat.Capabilities, k.heartbeat.HealthMetrics.DiskFree)
	}
}
