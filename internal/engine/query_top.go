package engine

import (
	"cmp"
	"slices"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// waitReasons are all of them.
var waitReasons = []WaitReason{
	WaitNoSlot, WaitBackoff, WaitNotBefore, WaitHostLimit, WaitNoWorker, WaitAffinity, WaitHostCooldown, WaitHeld,
}

// topClients returns the clients with the most live tasks. It costs a step a client with
// live tasks, and nothing a task.
func (e *Engine) topClients() []model.ClientFigures {
	top := topList[model.ClientFigures]{less: func(a, b model.ClientFigures) int {
		return cmp.Or(cmp.Compare(b.Waiting+b.Active, a.Waiting+a.Active), cmp.Compare(a.Client, b.Client))
	}}
	for _, c := range e.clients { // in any order: the list is sorted
		live := int64(0)
		for i := range c.queued {
			live += int64(c.queued[i].live)
		}
		if live > 0 {
			top.add(model.ClientFigures{Client: c.name, Waiting: c.waiting, Active: max(live-c.waiting, 0)})
		}
	}
	return top.list
}

// topHosts returns the hosts with the most tasks among those with a limit, and of each
// client those that asked it to wait. It costs a step a host with a limit, a host queue
// and a cool-down, and nothing a task.
func (e *Engine) topHosts() []model.HostFigures {
	top := topList[model.HostFigures]{less: func(a, b model.HostFigures) int {
		return cmp.Or(cmp.Compare(b.Running+b.Waiting, a.Running+a.Waiting), cmp.Compare(a.Host, b.Host), cmp.Compare(a.Client, b.Client))
	}}
	waiting := func(queues []*hostQueue) (n int) {
		for _, l := range queues {
			n += l.tasks.len()
		}
		return n
	}
	for _, h := range e.queue.hosts.known { // in any order: the list is sorted
		top.add(model.HostFigures{Host: h.name, Running: h.running, Waiting: waiting(h.queues), Limit: h.limit})
	}
	for _, c := range e.cooling.items {
		f := model.HostFigures{Host: c.host, Waiting: waiting(c.queues), Client: c.client.name}
		if c.phase == coolWait {
			f.CooldownUntil = e.now.Add(c.until.Sub(e.steady))
		}
		top.add(f)
	}
	return top.list
}

// topList keeps the first [model.MaxTop] of what is added.
type topList[T any] struct {
	less func(a, b T) int
	list []T
}

func (l *topList[T]) add(one T) {
	if len(l.list) == model.MaxTop && l.less(one, l.list[model.MaxTop-1]) >= 0 {
		return
	}
	at, _ := slices.BinarySearchFunc(l.list, one, l.less)
	l.list = slices.Insert(l.list, at, one)
	l.list = l.list[:min(len(l.list), model.MaxTop)]
}
