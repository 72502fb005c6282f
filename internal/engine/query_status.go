package engine

import "github.com/aria-cluster/dispatcher/pkg/model"

// QueryStatus asks for the figures of the whole cluster.
type QueryStatus struct{}

// Traits implements [Event].
func (QueryStatus) Traits() Traits { return Traits{Query: true} }

func (QueryStatus) reads(_ *Engine, ids []string) []string { return ids }

func (QueryStatus) decide(e *Engine) Answer { return Answer{Status: e.status()} }

func (e *Engine) status() *model.ClusterStatus {
	f := e.Figures()
	s := &model.ClusterStatus{
		Time:          e.now,
		TotalWorkers:  len(e.workers),
		TotalTasks:    e.counts.Total(),
		TasksByStatus: f.Tasks,
		TotalSlots:    f.Slots, UsedSlots: f.UsedSlots, DownloadSpeed: f.DownloadSpeed,
		Waiting: make(map[string]int), WaitReasons: make(map[string]int, len(f.Waiting)),
		OldestWaiting: make(map[string]float64, len(f.OldestWaiting)),
		Clients:       e.topClients(), Hosts: e.topHosts(),
	}
	for status, n := range f.Workers { // in any order: only a sum
		if status != model.WorkerOffline && status != model.WorkerError {
			s.ActiveWorkers += n
		}
	}
	if s.TotalSlots > 0 {
		s.SystemLoad = 100 * float64(s.UsedSlots) / float64(s.TotalSlots)
	}
	for _, reason := range WaitReasons {
		s.WaitReasons[string(reason)] = f.Waiting[reason]
	}
	for p, waited := range f.OldestWaiting { // in any order: only copied
		s.OldestWaiting[p.String()] = waited.Std().Seconds()
	}
	e.countWaiting(s.Waiting)
	return s
}

// maxReasons bounds what status answers.
const maxReasons = 100

// countWaiting counts pending tasks by why they wait.
func (e *Engine) countWaiting(by map[string]int) {
	count := func(reason string, n int) {
		if n == 0 {
			return
		}
		if _, ok := by[reason]; !ok && len(by) >= maxReasons {
			reason = "other reasons"
		}
		by[reason] += n
	}
	unloadable := 0
	for _, a := range e.unloadable { // in any order: only a sum
		if a.status == model.StatusPending {
			unloadable++
		}
	}
	c := e.index.Counts()
	count(reasonOnHold, int(e.counts[model.StatusPending])-c.Due-c.Queued-unloadable)
	count("cannot be loaded; the log of the dispatcher says why", unloadable)
	count("backs off or is scheduled", c.Due)
	count("waits for its host, which has as many tasks as limits allow", c.HostLimit)
	count("waits for its host, which asked its client to wait (host_cooldown)", c.Cooling)
	e.index.EachReason(count)
}
