package world

import "github.com/aria-cluster/dispatcher/pkg/model"

// queue is what is to come, by time and, within one moment, in the order in which
// it was planned.
type queue struct {
	items   []item
	planned uint64
}

type item struct {
	at model.Time
	n  uint64
	do func()
}

func (a item) before(b item) bool { return a.at < b.at || a.at == b.at && a.n < b.n }

func (q *queue) add(at model.Time, do func()) {
	q.planned++
	q.items = append(q.items, item{at, q.planned, do})
	for i := len(q.items) - 1; i > 0; {
		parent := (i - 1) / 2
		if !q.items[i].before(q.items[parent]) {
			return
		}
		q.items[i], q.items[parent] = q.items[parent], q.items[i]
		i = parent
	}
}

// next takes out the first item; the queue must not be empty.
func (q *queue) next() item {
	first, last := q.items[0], len(q.items)-1
	q.items[0], q.items[last] = q.items[last], item{}
	q.items = q.items[:last]
	for i := 0; ; {
		child := 2*i + 1
		if child >= last {
			return first
		}
		if right := child + 1; right < last && q.items[right].before(q.items[child]) {
			child = right
		}
		if !q.items[child].before(q.items[i]) {
			return first
		}
		q.items[i], q.items[child] = q.items[child], q.items[i]
		i = child
	}
}
