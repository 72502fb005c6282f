package oracle

import (
	"github.com/aria-cluster/dispatcher/internal/engine"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// CheckRest requires that an engine which has nothing to do keeps nothing.
func (c *Oracle) CheckRest(s engine.Sizes) {
	answers, ok := c.dispatcher.Query(engine.QueryWorkers{WorkerQuery: model.WorkerQuery{Limit: 1000}}, engine.QueryStatus{})
	if !ok {
		c.world.Violate("comes-to-rest", "the dispatcher is not loaded at the end")
		return
	}
	for _, k := range answers[0].Workers.Workers {
		if k.UsedSlots > 0 || len(k.CurrentTasks) > 0 {
			c.world.Violate("comes-to-rest", "%s uses %d slots at the end, for %v", k.ID, k.UsedSlots, k.CurrentTasks)
		}
	}
	if s.Classes > s.Workers {
		c.world.Violate("comes-to-rest", "%d shapes of %d workers", s.Classes, s.Workers)
	}
	s.Workers, s.Classes = 0, 0
	if s != (engine.Sizes{}) {
		c.world.Violate("comes-to-rest", "the engine still holds %+v", s)
	}
	if waiting := answers[1].Status.Waiting; len(waiting) > 0 {
		c.world.Violate("comes-to-rest", "something waits at the end: %v", waiting)
	}
}
