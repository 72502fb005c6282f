package oracle

// checkFirstCome requires that no earlier task of the same client and priority waits for
// the worker.
func (c *Oracle) checkFirstCome(e, o *taskHistory, k *workerHistory) {
	if o.row.Priority == e.row.Priority && o.row.Client == e.row.Client && o.row.Seq < e.row.Seq &&
		c.isUntouched(o) && e.row.Attempt == 1 && e.row.NotBefore == 0 {
		c.violate("first-come-first-served", "%s is assigned to %s, and the earlier %s of the same client waits", e.id, k.name, o.id)
	}
}
