package oracle

import (
	"reflect"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// CheckStore requires that the store has what it was given.
func (c *Oracle) CheckStore(tasks []*model.Task) {
	n := 0
	for _, e := range c.taskOrder {
		if e.row != nil {
			n++
		}
	}
	if len(tasks) != n {
		c.world.Violate("store-agrees", "it has %d tasks, and was given %d", len(tasks), n)
	}
	for _, t := range tasks {
		if row := c.task(t.ID).row; row == nil || !sameRow(t, row) {
			c.world.Violate("store-agrees", "%s differs from what was written: %+v, %+v", t.ID, t, row)
		}
	}
}

// sameRow compares what can differ between two rows of a task.
func sameRow(a, b *model.Task) bool {
	x, y := a.TaskState, b.TaskState
	x.Error, x.Result, y.Error, y.Result = nil, nil, nil, nil
	return reflect.DeepEqual(x, y) && a.Seq == b.Seq && a.Client == b.Client && a.URL == b.URL && a.Priority == b.Priority
}
