package oracle

import "github.com/aria-cluster/dispatcher/pkg/model"

// checkLinkReplaced requires that a holder stops using a link that the client has
// replaced: the new link comes with a new attempt.
func (c *Oracle) checkLinkReplaced(e *taskHistory, b, a *model.Task) {
	if b.Status.Active() && a.Status.Active() && a.URL != b.URL && a.Attempt == b.Attempt {
		c.violate("fresh-link-fresh-attempt", "%s#%d continues at %s with the replaced link", e.id, a.Attempt, a.WorkerID)
	}
}

// checkReclaimed requires that a worker does not reclaim an attempt after its link
// was replaced.
func (c *Oracle) checkReclaimed(e *taskHistory, b, a *model.Task) {
	for _, g := range e.assignments {
		if b.Status == model.StatusPending && g.attempt == a.Attempt && g.url != a.URL {
			c.violate("fresh-link-fresh-attempt", "%s#%d is reclaimed by %s, which downloads %s; an update replaced it by %s", e.id, a.Attempt, a.WorkerID, g.url, a.URL)
		}
	}
}
