package aria2rpc

import (
	"slices"
	"time"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// maxPlace is beyond every place of a queue, and can be added to one.
const maxPlace = 1 << 40

// changePosition maps a place in the queue to a priority: the one with which the
// download comes nearest to the place. It answers the place that it has then.
func (c *call) changePosition() (any, error) {
	e, err := c.entry(0)
	if err != nil {
		return nil, err
	}
	position, err := c.integer(1)
	if err != nil {
		return nil, err
	}
	how, err := c.text(2)
	if err != nil {
		return nil, err
	}
	queue, err := c.server.views.queueOf(c.ctx, c.view)
	if err != nil {
		return nil, err
	}
	at := int64(slices.Index(queue, e))
	if at < 0 {
		return nil, faultf("GID#%s not found in the waiting queue.", e.gid)
	}
	position = min(max(position, -maxPlace), maxPlace)
	switch how {
	case "POS_SET":
	case "POS_CUR":
		position += at
	case "POS_END":
		position += int64(len(queue)) - 1
	default:
		return nil, faultf("Illegal argument.")
	}
	position = min(max(position, 0), int64(len(queue))-1)
	if position == at {
		return at, nil
	}
	priority, result, err := c.placeAt(e, position)
	if err != nil {
		return nil, err
	}
	if err := c.request("update", map[string]any{"id": e.id, "priority": priority}); err != nil {
		return nil, err
	}
	c.view.mu.Lock()
	e.priority, e.readAt, c.view.sorted = priority, time.Time{}, false
	c.view.mu.Unlock()
	return result, nil
}

// placeAt returns the priority with which e, or a new download if it is nil, comes
// nearest to a place in the queue, and the place that it then has.
func (c *call) placeAt(e *entry, position int64) (model.Priority, int64, error) {
	queue, err := c.server.views.queueOf(c.ctx, c.view)
	if err != nil {
		return 0, 0, err
	}
	c.view.mu.Lock()
	defer c.view.mu.Unlock()
	best, at := model.PriorityNormal, int64(-1)
	for p := model.PriorityUrgent; p >= model.PriorityLow; p-- {
		var place int64
		for _, other := range queue {
			before := other.priority > p || other.priority == p && (e == nil || other.order < e.order)
			if other != e && before {
				place++
			}
		}
		if at < 0 || distance(place, position) < distance(at, position) ||
			p == model.PriorityNormal && distance(place, position) == distance(at, position) {
			best, at = p, place
		}
	}
	return best, at, nil
}

func distance(a, b int64) int64 { return max(a-b, b-a) }
