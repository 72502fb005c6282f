package oracle

import (
	"slices"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// Ledger is what was true of every task at one moment.
type Ledger map[string]*taskHistory

// SaveLedger keeps what is true now, for a backup.
func (c *Oracle) SaveLedger() Ledger {
	kept := make(Ledger, len(c.tasks))
	for id, e := range c.tasks { // in any order: a copy
		if e.row != nil {
			kept[id] = &taskHistory{row: e.row, acknowledged: e.acknowledged, assignments: slices.Clone(e.assignments), failedAttempts: slices.Clone(e.failedAttempts),
				waitedAttempts: slices.Clone(e.waitedAttempts)}
		}
	}
	return kept
}

// RollBack makes the ledger what it was: what came after the backup may be gone.
func (c *Oracle) RollBack(ledger Ledger, workers []*model.Worker) {
	c.counts = make(model.Counts)
	c.workerRows = make(map[string]*model.Worker)
	for _, k := range workers {
		c.workerRows[k.ID] = k
	}
	for _, e := range c.taskOrder {
		e.deletedAt, e.unsavedLength, e.formerAttempts = 0, 0, nil // a backup has no tombstones
		then := ledger[e.id]
		if then == nil {
			e.row, e.acknowledged, e.assignments, e.briefAttempts, e.failedAttempts, e.waitedAttempts = nil, false, nil, nil, nil, nil
			continue
		}
		e.row, e.acknowledged, e.deleted = then.row, then.acknowledged, false
		c.counts[e.row.Status]++
		e.assignments, e.briefAttempts, e.failedAttempts, e.waitedAttempts = then.assignments, then.briefAttempts, then.failedAttempts, then.waitedAttempts
		e.statusSince, e.idleSince = c.world.Now(), 0
	}
}
