package placement

import (
	"fmt"
	"strings"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// Reason returns the reason why a queued task waits, its host apart.
func (q *Index) Reason(t *Task) string { return q.setReason(t.queue.group.set) }

// ForgetReasons has reasons made again, for a worker that [Config].Describe describes in
// other words now.
func (q *Index) ForgetReasons() { q.changes++ }

// setReason returns the reason why the tasks of a requirement set wait. A missing
// capability is looked up again only after workers have changed.
func (q *Index) setReason(s *requirementSet) string {
	switch {
	case s.boundTo != "":
		return "waits for the worker " + s.boundTo + ", which has a part of its file"
	case q.canServe(s, ""):
		return "waits for a free slot"
	}
	if s.reasonFor != q.changes {
		s.reason, s.reasonFor = q.unservableReason(s), q.changes
	}
	return s.reason
}

// unservableReason names what no worker has.
func (q *Index) unservableReason(s *requirementSet) string {
	if q.accepting == 0 {
		w := q.findUnavailable(func(*model.Capabilities, int64) bool { return true })
		if w == "" || q.cfg.IsOffline(w) {
			return "no worker is online"
		}
		return "no worker takes new work: " + q.cfg.Describe(w)
	}
	required := q.requiredCapabilities(&s.requirements)
	for _, capability := range required {
		if q.isOffered(&s.requirements, capability) {
			continue
		}
		if w := q.findUnavailable(func(c *model.Capabilities, _ int64) bool { return hasCapability(c, capability) }); w != "" {
			return "no worker with " + capability + " takes new work: " + q.cfg.Describe(w)
		}
		return "no worker has " + capability
	}
	switch {
	case s.accepting > 0:
		return "every worker that could take it has just failed or refused it"
	case s.requirements.disk > 0:
		return fmt.Sprintf("no worker that could take it has %d MiB of free disk", s.requirements.disk>>20)
	}
	if w := q.findUnavailable(func(c *model.Capabilities, disk int64) bool {
		return q.missingRequirement(&s.requirements, c, disk) == ""
	}); w != "" {
		return "no worker with all of " + strings.Join(required, ", ") + " takes new work: " + q.cfg.Describe(w)
	}
	return "no worker has all of " + strings.Join(required, ", ")
}

// isOffered reports whether a worker that takes new work has a required capability.
func (q *Index) isOffered(n *Requirements, capability string) bool {
	if q.capabilityCounts[capability] > 0 {
		return true
	}
	common := n.scheme != "bt" && n.scheme != "metalink" && capability == schemeCapability(n.scheme)
	return common && q.capabilityCounts[schemeCapability(anyScheme)] > 0
}

// findUnavailable returns the first worker by name that matches and takes nothing new, one
// that is online before one that is offline; "" if no worker does.
func (q *Index) findUnavailable(matches func(c *model.Capabilities, disk int64) bool) string {
	offline := ""
	for _, w := range q.workersByName() {
		switch {
		case w.accepting || w.class == nil || !matches(&w.class.capabilities, w.class.disk):
		case !q.cfg.IsOffline(w.ID):
			return w.ID
		case offline == "":
			offline = w.ID
		}
	}
	return offline
}
