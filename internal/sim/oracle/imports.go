package oracle

// imports is what is known of the imports into one dispatcher.
type imports struct {
	active bool // one is under way
}

// hold states whether an imported task may be placed.
type hold int

const (
	holdNone   hold = iota
	holdUntil       // not before its import is finished
	holdUnsure      // it was canceled and retried in one turn: both are right
)

// reasonHeld is the reason of a held task.
const reasonHeld = "is held back until its import is verified"

// ImportBegan notes that an import is under way.
func (c *Oracle) ImportBegan() { c.imports.active = true }

// ImportAborted notes that it was given up.
func (c *Oracle) ImportAborted() { c.imports.active = false }

// BeginImportTurn begins what an import asks between two turns: ids are of the tasks that
// it may write, releases of those that it releases. There is no tick in it.
func (c *Oracle) BeginImportTurn(ids []string, releases map[string]struct{}) {
	c.turn = turn{isActive: true, isConnected: c.dispatcher.Connected(), imported: ids, releases: releases}
}

// ImportDecided notes that a request of an import had a turn of its own.
func (c *Oracle) ImportDecided() {
	if now := c.world.Now(); now-c.lastTurnAt > 5000 || c.dispatcher.Connected() && !c.wasConnected {
		c.resetTimeouts()
		c.disturbedAt = now
	}
	if !c.dispatcher.Connected() {
		c.disturbedAt = c.world.Now()
	}
	c.lastTurnAt, c.wasConnected = c.world.Now(), c.dispatcher.Connected()
	if c.wasConnected {
		c.connectedAt = c.world.Now()
	}
}

// ImportReleased notes that an import was finished: its tasks may be placed, and they are
// acknowledged.
func (c *Oracle) ImportReleased() {
	c.imports.active = false
	for id := range c.turn.releases { // in any order: each is set alone
		if e := c.task(id); e.row != nil {
			e.hold, e.acknowledged, e.queuedAt, e.idleSince = holdNone, true, c.world.Now(), 0
		}
	}
	c.resetTimeouts()
}

// ApplyImported takes over the tasks that an import has written, and leaves the other
// changes of the turn.
func (c *Oracle) ApplyImported() {
	var others []change
	for _, ch := range c.turn.changes {
		if ch.before != nil || ch.after == nil || !contains(c.turn.imported, ch.task.id) {
			others = append(others, ch)
			continue
		}
		e, a := ch.task, ch.after
		c.checkImported(e, a)
		e.formerAttempts = nil // an imported task has the attempts that it had
		e.imported, e.deleted, e.assignments, e.briefAttempts, e.failedAttempts, e.maxSeenAttempt, e.avoided = true, false, nil, nil, nil, 0, nil
		if e.hold = holdUntil; a.Status.Terminal() {
			e.hold = holdNone
		}
		e.submissions = append(e.submissions, submission{a.Client, a.SpecHash})
		e.applyChange(c, &ch)
		c.world.Say("%s: %s is imported as %s", c.name, e.id, a.Status)
	}
	c.turn.changes = others
}

func contains(ids []string, id string) bool {
	for _, other := range ids {
		if other == id {
			return true
		}
	}
	return false
}

// clearHolds is for the end of a process: the hold is in no store.
func (c *Oracle) clearHolds() {
	c.imports = imports{}
	for _, e := range c.taskOrder {
		e.hold = holdNone
	}
}
