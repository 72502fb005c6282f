package engine

import "github.com/aria-cluster/dispatcher/pkg/model"

// host is a server of downloads that only so many tasks may be at once.
type host struct {
	name    string
	limit   int
	running int          // tasks at it, those that are being stopped too
	queues  []*hostQueue // of tasks that are for it
}

func (h *host) full() bool { return h != nil && h.running >= h.limit }

// hosts are those with a limit that a live task is for.
type hosts struct {
	perHost int            // limit of every host, 0 = none
	limits  map[string]int // limits of single ones, which go before each; 0 = none
	known   map[string]*host
}

// hostOf returns the host of the spec's url if it has a limit, else nil.
func (h *hosts) hostOf(s *model.TaskSpec) *host {
	if h.perHost == 0 && len(h.limits) == 0 {
		return nil
	}
	name := s.Host()
	limit, ok := h.limits[name]
	if !ok {
		limit = h.perHost
	}
	if name == "" || limit == 0 {
		return nil
	}
	known := h.known[name]
	if known == nil {
		known = &host{name: name, limit: limit}
		h.known[name] = known
	}
	return known
}

// removeIdle forgets a host that no task is for or at.
func (h *hosts) removeIdle(one *host) {
	if one != nil && one.running == 0 && len(one.queues) == 0 {
		delete(h.known, one.name)
	}
}

// enterHost counts a task that begins at the host. Its limit holds for what is
// assigned; a worker that takes its task back after a silence may exceed it.
func (e *Engine) enterHost(h *host) {
	if h == nil {
		return
	}
	if h.running++; h.running == h.limit {
		for _, l := range h.queues {
			if !l.cool.closed() {
				e.queue.parkQueue(l)
			}
		}
	}
}

// leaveHost counts one that has stopped.
func (e *Engine) leaveHost(h *host) {
	if h == nil {
		return
	}
	if h.running--; h.running == h.limit-1 {
		for _, l := range h.queues {
			if !l.cool.closed() {
				e.queue.unparkQueue(l)
			}
		}
	}
	e.queue.hosts.removeIdle(h)
}
