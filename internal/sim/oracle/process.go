package oracle

import "github.com/aria-cluster/dispatcher/pkg/model"

// Started notes that the process starts.
func (c *Oracle) Started() {
	c.clearHolds()
	c.undecided, c.isLoaded, c.turn = nil, false, turn{}
	c.tickedAt, c.dueWall, c.lastTurnAt = 0, 0, c.world.Now()
	c.wasConnected = true // as a fresh engine believes
	c.disturbedAt = c.world.Now()
}

// Stopped notes that the process has ended.
func (c *Oracle) Stopped() { c.isLoaded, c.disturbedAt = false, c.world.Now() }

// Unloaded notes that a load of the engine begins.
func (c *Oracle) Unloaded() { c.isLoaded, c.disturbedAt = false, c.world.Now() }

// Loaded notes that an engine was built from the store. After a commit that failed
// it is the next turn's.
func (c *Oracle) Loaded() {
	c.isLoaded = true
	if c.turn.isActive && c.turn.hasCommit {
		c.turn.hasReload = true
		return
	}
	c.resetLiveState()
}

// resetLiveState forgets what a fresh engine cannot know.
func (c *Oracle) resetLiveState() {
	if c.imports.active {
		c.world.ReloadedInImport()
	}
	c.loadedAt, c.timeoutsResetAt, c.disturbedAt = c.world.Now(), c.world.Now(), c.world.Now()
	for _, name := range c.workerOrder {
		k := c.workers[name]
		k.registered, k.isLive = false, false
		clear(k.stopping)
	}
	for _, e := range c.taskOrder {
		e.maxSeenAttempt, e.avoided, e.listedAt, e.omittedAt, e.unsavedLength = 0, nil, c.world.Now(), 0, 0
	}
	c.loadCooldowns()
}

// ClockTurned notes that the wall clock jumped.
func (c *Oracle) ClockTurned(by model.Time) {
	c.clockChangedAt = c.world.Now()
	if by < 0 {
		c.clockSetBackAt = c.world.Now()
	}
}

// Disturbed notes trouble, after which more time is allowed.
func (c *Oracle) Disturbed() { c.disturbedAt = c.world.Now() }

// resetTimeouts restarts the timeout of each worker. One that was overdue before may
// still be found to be lost.
func (c *Oracle) resetTimeouts() {
	for _, name := range c.workerOrder {
		k := c.workers[name]
		k.overdue = k.overdue || c.lastTurnAt-max(k.heardAt, c.timeoutsResetAt) >= c.heartbeatTimeout()
	}
	c.timeoutsResetAt = c.world.Now()
}

// isSilent reports whether a worker may be taken for lost: it was not heard for the
// timeout, in which it could have been. That time ends at the last connected turn,
// even if the loss is noticed in a later one.
func (c *Oracle) isSilent(worker string) bool {
	k := c.workers[worker]
	return k != nil && (k.overdue || c.connectedAt-max(k.heardAt, c.timeoutsResetAt) >= c.heartbeatTimeout())
}
