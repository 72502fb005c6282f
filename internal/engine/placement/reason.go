package placement

import (
	"fmt"
	"iter"
	"slices"
	"strings"
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
		w := q.findUnavailable(anyCapability)
		if w == "" || q.cfg.IsOffline(w) {
			return "no worker is online"
		}
		return "no worker takes new work: " + q.cfg.Describe(w)
	}
	required := q.requiredCapabilities(&s.requirements)
	for _, capability := range required {
		ways := s.requirements.alternatives(capability)
		if slices.ContainsFunc(ways, func(c string) bool { return q.capabilityCounts[c] > 0 }) {
			continue
		}
		if w := q.findUnavailable(ways...); w != "" {
			return "no worker with " + capability + " takes new work: " + q.cfg.Describe(w)
		}
		return "no worker has " + capability + s.requirements.hint(capability)
	}
	if s.accepting > 0 {
		return "every worker that could take it has just failed or refused it"
	}
	if disk := s.requirements.disk; disk > 0 {
		amount := fmt.Sprintf("%d MiB of free disk", disk>>20)
		if q.isServableButDisk(s.requirements) && q.findUnavailableFor(&s.requirements) == "" {
			return "no worker that could take it has " + amount
		}
		required = append(required, amount)
	}
	all := strings.Join(required, ", ")
	if len(required) > 1 {
		all = "all of " + all
	}
	if w := q.findUnavailableFor(&s.requirements); w != "" {
		return "no worker with " + all + " takes new work: " + q.cfg.Describe(w)
	}
	return "no worker has " + all
}

// isServableButDisk reports whether a worker that takes new work has all of the requirements
// but the free disk. It costs a step a worker class.
func (q *Index) isServableButDisk(n Requirements) bool {
	n.disk = 0
	return slices.ContainsFunc(q.sortedClasses, func(class *workerClass) bool {
		return class.accepting > 0 && q.meets(&n, &class.capabilities, class.disk)
	})
}

// anyCapability stands for what every worker has.
const anyCapability = ""

// findUnavailable returns the first worker by name that has one of the capabilities and
// takes nothing new, one that is online before one that is offline; "" if no worker does.
// One walk over the workers serves all sets until workers change: there may be thousands
// of both.
func (q *Index) findUnavailable(capabilities ...string) string {
	if q.unavailableFor != q.changes {
		q.unavailable, q.unavailableFor = make(map[string]string), q.changes
		for w := range q.unavailableWorkers() {
			for _, capability := range append(capabilitiesOf(&w.class.capabilities), anyCapability) {
				if q.unavailable[capability] == "" {
					q.unavailable[capability] = w.ID
				}
			}
		}
	}
	best := ""
	for _, capability := range capabilities {
		w := q.unavailable[capability]
		if w == "" {
			continue
		}
		if best == "" || q.cfg.IsOffline(best) && !q.cfg.IsOffline(w) || q.cfg.IsOffline(best) == q.cfg.IsOffline(w) && w < best {
			best = w
		}
	}
	return best
}

// findUnavailableFor is findUnavailable for all that is required.
func (q *Index) findUnavailableFor(n *Requirements) string {
	for w := range q.unavailableWorkers() {
		if q.meets(n, &w.class.capabilities, w.class.disk) {
			return w.ID
		}
	}
	return ""
}

// unavailableWorkers yields the workers that have made an offer and take nothing new, by
// name: those that are online, then the others.
func (q *Index) unavailableWorkers() iter.Seq[*Worker] {
	return func(yield func(*Worker) bool) {
		for _, offline := range []bool{false, true} {
			for _, w := range q.sortedWorkers {
				if !w.accepting && w.class != nil && q.cfg.IsOffline(w.ID) == offline && !yield(w) {
					return
				}
			}
		}
	}
}
