package oracle

import "github.com/aria-cluster/dispatcher/pkg/model"

// checkAdmitted requires that one worker at a time has a name.
func (c *Oracle) checkAdmitted(k *workerHistory, h *model.Heartbeat) {
	old := k.heartbeat
	if old == nil {
		return
	}
	if old.Instance == h.Instance && h.Epoch < old.Epoch && k.isLive {
		c.violate("one-worker-a-name", "%s: epoch %d is heard after epoch %d", k.name, h.Epoch, old.Epoch)
	}
	if old.Instance != h.Instance && k.isLive && !c.isSilent(k.name) {
		c.violate("one-worker-a-name", "%s: the instance %s takes the name of %s, which is alive", k.name, h.Instance, old.Instance)
	}
}
