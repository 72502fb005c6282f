package memory

import (
	"cmp"
	"container/heap"
	"context"

	"github.com/aria-cluster/dispatcher/pkg/model"
	"github.com/aria-cluster/dispatcher/pkg/repo/internal/rules"
)

// Expired implements [repo.Pruner].
func (s *Store) Expired(ctx context.Context, before map[model.Status]model.Time, after int64, limit int) ([]model.TaskChange, int64, error) {
	var changes []model.TaskChange
	all := func() []*ordered { return []*ordered{&s.all} }
	for examined := 0; examined < rules.MaxSwept && len(changes) < limit; {
		tasks, err := s.chunk(ctx, "expired", all, after, false)
		if err != nil {
			return nil, 0, err
		}
		if len(tasks) == 0 {
			return changes, 0, nil
		}
		for _, t := range tasks {
			if len(changes) == limit {
				break
			}
			if t.Status.Terminal() && t.FinishedAt != 0 && t.FinishedAt < before[t.Status] {
				changes = append(changes, model.TaskChange{ID: t.ID, From: t.Status, Delete: true})
			}
			after = t.Seq
			examined++
		}
	}
	return changes, after, nil
}

// Tombstones implements [repo.Pruner].
func (s *Store) Tombstones(ctx context.Context, ids []string) (map[string]model.Tombstone, error) {
	found := make(map[string]model.Tombstone)
	err := s.read(ctx, "tombstones", func() {
		for _, id := range ids {
			if g, ok := s.tombstones.byID[id]; ok {
				found[id] = g
			}
		}
	})
	return found, err
}

// tombstones is the tombstones, by id and in the order in which they end.
type tombstones struct {
	byID map[string]model.Tombstone
	ends tombstoneEnds // may contain entries that byID lacks: they were replaced
}

func (g *tombstones) insert(c *model.TaskChange, t *model.Task) {
	if c.Keep == 0 {
		return
	}
	if g.byID == nil {
		g.byID = make(map[string]model.Tombstone)
	}
	g.byID[t.ID] = model.Tombstone{SpecHash: t.SpecHash, Until: c.Keep}
	heap.Push(&g.ends, tombstoneEnd{t.ID, c.Keep})
}

// removeExpired removes those that ended by then, as many as one commit may.
func (g *tombstones) removeExpired(then model.Time) {
	for n := 0; n < model.MaxForget && len(g.ends) > 0 && g.ends[0].until <= then; {
		first := heap.Pop(&g.ends).(tombstoneEnd) //nolint:forcetypeassert // it holds nothing else
		if g.byID[first.id].Until == first.until {
			delete(g.byID, first.id)
			n++
		}
	}
}

type tombstoneEnd struct {
	id    string
	until model.Time
}

// tombstoneEnds is a heap; see container/heap.
type tombstoneEnds []tombstoneEnd

func (q tombstoneEnds) Len() int      { return len(q) }
func (q tombstoneEnds) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q tombstoneEnds) Less(i, j int) bool {
	return cmp.Or(cmp.Compare(q[i].until, q[j].until), cmp.Compare(q[i].id, q[j].id)) < 0
}
func (q *tombstoneEnds) Push(x any) { *q = append(*q, x.(tombstoneEnd)) } //nolint:forcetypeassert // as above
func (q *tombstoneEnds) Pop() any {
	last := (*q)[len(*q)-1]
	*q = (*q)[:len(*q)-1]
	return last
}
