package oracle

import "github.com/aria-cluster/dispatcher/pkg/model"

// imports is what is known of the imports into one dispatcher.
type imports struct {
	active bool // one is under way
}

// hold says whether a task that was imported may be placed.
type hold int

const (
	holdNone   hold = iota
	holdUntil       // not before its import is finished
	holdUnsure      // it was canceled and retried in one turn: both are right
)

// reasonHeld is what a task that is held back says.
const reasonHeld = "is held back until its import is verified"

// ImportBegan hears that an import is under way.
func (c *Oracle) ImportBegan() { c.imports.active = true }

// ImportAborted hears that it was given up.
func (c *Oracle) ImportAborted() { c.imports.active = false }

// BeginImportTurn begins what an import asks between two turns: ids are of the tasks that
// it may write, releases of those that it releases. There is no tick in it.
func (c *Oracle) BeginImportTurn(ids []string, releases map[string]struct{}) {
	c.turn = turn{active: true, connected: c.d.Connected(), imported: ids, releases: releases}
}

// ImportDecided hears that a request of an import had a turn of its own.
func (c *Oracle) ImportDecided() {
	if now := c.w.Now(); now-c.lastTurn > 5000 || c.d.Connected() && !c.wasOn {
		c.freshen()
		c.shakenAt = now
	}
	if !c.d.Connected() {
		c.shakenAt = c.w.Now()
	}
	c.lastTurn, c.wasOn = c.w.Now(), c.d.Connected()
	if c.wasOn {
		c.onAt = c.w.Now()
	}
}

// ImportReleased hears that an import was finished: its tasks may be placed, and they are
// acknowledged.
func (c *Oracle) ImportReleased() {
	c.imports.active = false
	for id := range c.turn.releases { // in any order: each is set alone
		if e := c.entry(id); e.row != nil {
			e.hold, e.acked, e.queuedAt, e.stuckSince = holdNone, true, c.w.Now(), 0
		}
	}
	c.freshen()
}

// ApplyImported takes over the tasks that an import has written, and leaves the other
// changes of the turn.
func (c *Oracle) ApplyImported() {
	var others []change
	for _, ch := range c.turn.changes {
		if ch.before != nil || ch.after == nil || !contains(c.turn.imported, ch.e.id) {
			others = append(others, ch)
			continue
		}
		e, a := ch.e, ch.after
		if a.Attempt != 0 || a.WorkerID != "" {
			c.violate("held-until-verified", "%s is given to %s in the turn that imports it", e.id, a.WorkerID)
		}
		e.moved, e.gone, e.given, e.failed, e.named, e.shunned = true, false, nil, nil, 0, nil
		if e.hold = holdUntil; a.Status.Terminal() {
			e.hold = holdNone
		}
		e.wishes = append(e.wishes, submission{a.Client, a.SpecHash})
		e.settle(c, &ch)
		c.w.Say("%s: %s is imported as %s", c.name, e.id, a.Status)
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

// checkHold asks that a task which is held back is given to nobody.
func (c *Oracle) checkHold(ch *change) {
	e, a := ch.e, ch.after
	_, released := c.turn.releases[e.id]
	switch {
	case e.hold == holdNone:
	case a == nil || a.Status.Terminal():
		e.hold = holdNone
	case c.asked(e.id, asCancel):
		e.hold = holdUnsure
	case e.hold == holdUntil && !released && a.WorkerID != "" && a.Attempt > lastOf(ch): // not an assignment of a finish whose commit was written and failed
		c.violate("held-until-verified", "%s is given to %s, and its import is not finished", e.id, a.WorkerID)
	}
}

// checkHeldReason asks that the dispatcher says of a task that waits whether it is
// held back.
func (c *Oracle) checkHeldReason(e *entry, reason string) {
	if e.row.Status != model.StatusPending || e.hold == holdUnsure {
		return
	}
	if says := reason == reasonHeld; says != (e.hold == holdUntil) {
		c.violate("held-until-verified", "%s %s; held back by its import: %v", e.id, reason, !says)
	}
}

// forgetHolds is for the end of a process: the hold is in no store.
func (c *Oracle) forgetHolds() {
	c.imports = imports{}
	for _, e := range c.order {
		e.hold = holdNone
	}
}
