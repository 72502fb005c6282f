package engine

import (
	"cmp"
	"slices"

	"github.com/aria-cluster/dispatcher/internal/engine/placement"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// topClients returns the clients with the most live tasks. It costs a step a client with
// live tasks, and nothing a task.
func (e *Engine) topClients() []model.ClientFigures {
	top := topList[model.ClientFigures]{less: func(a, b model.ClientFigures) int {
		return cmp.Or(cmp.Compare(b.Waiting+b.Active, a.Waiting+a.Active), cmp.Compare(a.Client, b.Client))
	}}
	e.index.EachClient(func(c *placement.Client, live int64) {
		top.add(model.ClientFigures{Client: c.Name, Waiting: c.Pending, Active: max(live-c.Pending, 0)})
	})
	return top.list
}

// topHosts returns the hosts with the most tasks among those with a limit, and of each
// client those that asked it to wait. It costs a step a host with a limit, a host queue
// and a cool-down, and nothing a task.
func (e *Engine) topHosts() []model.HostFigures {
	top := topList[model.HostFigures]{less: func(a, b model.HostFigures) int {
		return cmp.Or(cmp.Compare(b.Running+b.Waiting, a.Running+a.Waiting), cmp.Compare(a.Host, b.Host), cmp.Compare(a.Client, b.Client))
	}}
	e.index.EachHost(func(h placement.HostLoad) {
		f := model.HostFigures{Host: h.Host, Running: h.Running, Waiting: h.Waiting, Limit: h.Limit, Client: h.Client}
		if h.Until > 0 {
			f.CooldownUntil = e.now.Add(h.Until.Sub(e.steady))
		}
		top.add(f)
	})
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
