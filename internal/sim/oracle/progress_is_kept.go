package oracle

import "github.com/aria-cluster/dispatcher/pkg/model"

// recordProgress notes progress that the store does not have yet.
func (c *Oracle) recordProgress(e *taskHistory, r *model.Report) {
	switch {
	case r.Status != model.ReportDownloading || e.row.Status != model.StatusDownloading || r.CompletedLength <= e.row.CompletedLength:
		e.unsavedLength = 0
	case e.unsavedLength == 0:
		e.unsavedLength, e.unsavedSince = r.CompletedLength, c.world.Now()
	}
}

// checkProgress requires, now and then, that progress reaches the store.
func (c *Oracle) checkProgress() {
	for _, e := range c.taskOrder {
		if quiet := c.world.Now() - max(e.unsavedSince, c.disturbedAt); e.row != nil && e.unsavedLength > 0 && quiet > 10_000 {
			c.violate("progress-is-kept", "%s has come to %d bytes, %d ms ago; the store has %d", e.id, e.unsavedLength, quiet, e.row.CompletedLength)
			return
		}
	}
}
