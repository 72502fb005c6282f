package oracle

import (
	"github.com/aria-cluster/dispatcher/internal/engine/placement"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// checkStrategy requires, where a turn has placed one task only, that the strategy was
// followed. A worker with an uncertain number of used slots is left out.
func (c *Oracle) checkStrategy(placed []*taskHistory) {
	if len(placed) != 1 || c.isRequestedInTurn(placed[0].id, verbUpdate) {
		return
	}
	e := placed[0]
	k := c.worker(e.row.WorkerID)
	certain, most := c.countSlots(k)
	if k.heartbeat == nil || certain != most || e.row.LastWorkerID != "" {
		return
	}
	mine := countMatchingTags(k, e.row)
	for _, name := range c.workerOrder {
		o := c.workers[name]
		if o == k || !c.isCandidate(o, e.row) {
			continue
		}
		used, mostUsed := c.countSlots(o)
		if used != mostUsed || used >= o.heartbeat.TotalSlots {
			continue
		}
		rank := countMatchingTags(o, e.row)
		switch c.cfg.Strategy {
		case placement.StrategyTags:
			if rank > mine {
				c.violate("strategy", "%s is assigned to %s, which matches %d tags, and %s matches %d", e.id, k.name, mine, name, rank)
			}
		case placement.StrategyLeastLoaded, "":
			if used*k.heartbeat.TotalSlots < (certain-1)*o.heartbeat.TotalSlots {
				c.violate("strategy", "%s is assigned to %s with %d of %d slots in use, and %s has %d of %d",
					e.id, k.name, certain-1, k.heartbeat.TotalSlots, name, used, o.heartbeat.TotalSlots)
			}
		}
	}
}

// isCandidate reports whether a worker would have been as good for a new task.
func (c *Oracle) isCandidate(k *workerHistory, t *model.Task) bool {
	return k.isLive && k.registered && k.heartbeat != nil && k.heardAt < c.world.Now() && k.heartbeat.State == model.StateReady &&
		!c.isDrained(k) && isHealthy(k) && !mayBeOnTrial(k) && hasDiskFor(k, t) && c.isCapable(k, t) && c.world.Now()-c.disturbedAt > 1000
}

// countMatchingTags counts the task's tags that a worker has.
func countMatchingTags(k *workerHistory, t *model.Task) int {
	n := 0
	for name, value := range t.Tags { // in any order: a sum
		n += countIf(k.heartbeat.Capabilities.Tags[name] == value)
	}
	return n
}
