package rules

import (
	"fmt"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// MaxSeq bounds the seqs that a store counts on from. A row above it, which only another
// program can have written, would leave no number for the next task.
const MaxSeq = model.MaxAttemptNumber

// AddDamage adds a column that cannot be read to the damage of a row.
func AddDamage(damage, column string, err error) string {
	one := fmt.Sprintf("its %s: %v", column, err)
	if damage == "" {
		return one
	}
	return damage + "; " + one
}

// WholeTask returns an error if a column of the task's row cannot be read: a copy would lose
// it.
func WholeTask(t *model.Task) error {
	if t.Damage == "" {
		return nil
	}
	return fmt.Errorf("%.80q: %s", t.ID, t.Damage)
}

// WholeWorkers returns an error if a column of the row of a worker cannot be read.
func WholeWorkers(workers []*model.Worker) error {
	for _, w := range workers {
		if w.Damage != "" {
			return fmt.Errorf("%.80q: %s", w.ID, w.Damage)
		}
	}
	return nil
}
