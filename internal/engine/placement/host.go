package placement

import "github.com/aria-cluster/dispatcher/pkg/model"

// Host is a server of downloads with a limit of tasks at once.
type Host struct {
	name    string
	limit   int
	running int          // tasks at it, those that are being stopped too
	queues  []*hostQueue // of tasks that are for it
}

// Name returns the host as [model.NormalizeHost] writes it.
func (h *Host) Name() string { return h.name }

// Running returns how many tasks are at the host.
func (h *Host) Running() int { return h.running }

// IsFull reports whether the host has as many tasks as it may. A nil host has no limit.
func (h *Host) IsFull() bool { return h != nil && h.running >= h.limit }

// hosts are those with a limit that a live task is for.
type hosts struct {
	perHost int            // limit of every host, 0 = none
	limits  map[string]int // limits of single ones, which go before each; 0 = none
	byName  map[string]*Host
}

// hostOf returns the host of the spec's url if it has a limit, else nil.
func (h *hosts) hostOf(s *model.TaskSpec) *Host {
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
	host := h.byName[name]
	if host == nil {
		host = &Host{name: name, limit: limit}
		h.byName[name] = host
	}
	return host
}

// removeIdle forgets a host that no task is for or at.
func (h *hosts) removeIdle(one *Host) {
	if one != nil && one.running == 0 && len(one.queues) == 0 {
		delete(h.byName, one.name)
	}
}

// EnterHost counts a task that begins at the host, which may be nil. Its limit holds for
// what [Index.Place] assigns; a worker that takes its task back after a silence may
// exceed it.
func (q *Index) EnterHost(h *Host) {
	if h == nil {
		return
	}
	if h.running++; h.running == h.limit {
		for _, l := range h.queues {
			if !l.cool.closed() {
				q.parkQueue(l)
			}
		}
	}
}

// LeaveHost counts a task that has stopped at the host, which may be nil.
func (q *Index) LeaveHost(h *Host) {
	if h == nil {
		return
	}
	if h.running--; h.running == h.limit-1 {
		for _, l := range h.queues {
			if !l.cool.closed() {
				q.unparkQueue(l)
			}
		}
	}
	q.hosts.removeIdle(h)
}
