package oracle

import (
	"strings"

	"github.com/aria-cluster/dispatcher/internal/dispatch"
	"github.com/aria-cluster/dispatcher/internal/engine"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// checkTimes asks that a row says when its task began and ended, as its status is:
// retention goes by it.
func (c *Oracle) checkTimes(e *taskHistory, a *model.Task) {
	if a.Status.Terminal() != (a.FinishedAt > 0) {
		c.violate("rows-stay-true", "%s is %s, finished at %d", e.id, a.Status, a.FinishedAt)
	}
	if a.Status == model.StatusDownloading && a.StartedAt == 0 {
		c.violate("rows-stay-true", "%s is downloading and has not started", e.id)
	}
}

// checkLinkReplaced asks that a holder does not go on with a link which its client has
// replaced: it has a new attempt with the new one.
func (c *Oracle) checkLinkReplaced(e *taskHistory, b, a *model.Task) {
	if b.Status.Active() && a.Status.Active() && a.URL != b.URL && a.Attempt == b.Attempt {
		c.violate("fresh-link-fresh-attempt", "%s#%d goes on at %s with the link that was replaced", e.id, a.Attempt, a.WorkerID)
	}
}

// checkIDReuse asks that the id of a deleted task stays taken for retention.ids. It
// goes by the wall clock, so it does not ask after that was turned.
func (c *Oracle) checkIDReuse(e *taskHistory) {
	keep := millis(c.cfg.RetainIDs)
	if e.deleted && e.deletedAt > 0 && c.clockChangedAt <= e.deletedAt && c.world.Now()-e.deletedAt < keep-1000 {
		c.violate("ids-stay-taken", "%s was deleted %d ms ago, and is taken in again", e.id, c.world.Now()-e.deletedAt)
	}
}

// checkAdmin asks that what an operator was told is in the worker's row, for a
// restart has to know it.
func (c *Oracle) checkAdmin(op engine.Event, a *dispatch.Answer) {
	if a.Err != nil {
		return
	}
	switch op := op.(type) {
	case engine.DrainWorker:
		c.checkDrained(op.ID, true)
	case engine.ResumeWorker:
		c.checkDrained(op.ID, false)
	}
}

func (c *Oracle) checkDrained(worker string, drained bool) {
	n := 0
	for _, m := range c.turn.messages {
		for _, op := range m.Ops {
			switch op := op.(type) {
			case engine.DrainWorker:
				n += countIf(op.ID == worker)
			case engine.ResumeWorker:
				n += countIf(op.ID == worker)
			case engine.RemoveWorker:
				n += countIf(op.ID == worker)
			}
		}
	}
	if row := c.workerRows[worker]; n == 1 && (row == nil || row.Drained != drained) {
		c.violate("answers-are-true", "%s is said to be drained: %v; the store has %+v", worker, drained, row)
	}
}

func countIf(b bool) int {
	if b {
		return 1
	}
	return 0
}

// checkRemoved asks that a worker which is said to be removed is not in the store.
func (c *Oracle) checkRemoved() {
	for i, ev := range c.turn.workerEvents {
		if ev.Status != model.WorkerRemoved {
			continue
		}
		again := false
		for _, later := range c.turn.workerEvents[i+1:] {
			again = again || later.ID == ev.ID
		}
		if !again && c.workerRows[ev.ID] != nil {
			c.violate("events-are-true", "%s is told to be removed, and is in the store", ev.ID)
		}
	}
}

// checkRemoval asks that a living worker is removed with force only.
func (c *Oracle) checkRemoval(op engine.RemoveWorker) {
	if k := c.worker(op.ID); !op.Force && k.isLive && !k.leaving && !c.isSilent(op.ID) {
		c.violate("refusals", "%s is removed without force; it was heard %d ms ago", op.ID, c.world.Now()-k.heardAt)
	}
}

// checkStrategy asks, where a turn has placed one task only, that the strategy was
// followed. A worker of whose slots it is not certain is left out.
func (c *Oracle) checkStrategy(placed []*taskHistory) {
	if len(placed) != 1 || c.isRequestedInTurn(placed[0].id, verbUpdate) {
		return
	}
	e := placed[0]
	k := c.worker(e.row.WorkerID)
	certain, most := c.countSlots(k)
	if k.heartbeat == nil || certain != most || e.row.LastWorkerID != "" {
		return
	}
	mine := countMatchingTags(k, e.row)
	for _, name := range c.workerOrder {
		o := c.workers[name]
		if o == k || !c.isCandidate(o, e.row) {
			continue
		}
		used, mostUsed := c.countSlots(o)
		if used != mostUsed || used >= o.heartbeat.TotalSlots {
			continue
		}
		rank := countMatchingTags(o, e.row)
		switch c.cfg.Strategy {
		case engine.StrategyTags:
			if rank > mine {
				c.violate("strategy", "%s is given to %s, of whose tags %d match, and %s has %d", e.id, k.name, mine, name, rank)
			}
		case engine.StrategyLeastLoaded, "":
			if used*k.heartbeat.TotalSlots < (certain-1)*o.heartbeat.TotalSlots {
				c.violate("strategy", "%s is given to %s with %d of %d slots in use, and %s has %d of %d",
					e.id, k.name, certain-1, k.heartbeat.TotalSlots, name, used, o.heartbeat.TotalSlots)
			}
		}
	}
}

// isCandidate reports whether a worker would have been as good for a new task.
func (c *Oracle) isCandidate(k *workerHistory, t *model.Task) bool {
	return k.isLive && k.registered && k.heartbeat != nil && k.heardAt < c.world.Now() && k.heartbeat.State == model.StateReady &&
		!c.isDrained(k) && isHealthy(k) && hasDiskFor(k, t) && c.isCapable(k, t) && c.world.Now()-c.disturbedAt > 1000
}

// countMatchingTags counts the task's tags that a worker has.
func countMatchingTags(k *workerHistory, t *model.Task) int {
	n := 0
	for name, value := range t.Tags { // in any order: a sum
		n += countIf(k.heartbeat.Capabilities.Tags[name] == value)
	}
	return n
}

// recordProgress notes progress that the store does not have yet.
func (c *Oracle) recordProgress(e *taskHistory, r *model.Report) {
	switch {
	case r.Status != model.ReportDownloading || e.row.Status != model.StatusDownloading || r.CompletedLength <= e.row.CompletedLength:
		e.unsavedLength = 0
	case e.unsavedLength == 0:
		e.unsavedLength, e.unsavedSince = r.CompletedLength, c.world.Now()
	}
}

// checkProgress asks, now and then, that progress reaches the store.
func (c *Oracle) checkProgress() {
	for _, e := range c.taskOrder {
		if quiet := c.world.Now() - max(e.unsavedSince, c.disturbedAt); e.row != nil && e.unsavedLength > 0 && quiet > 10_000 {
			c.violate("progress-is-kept", "%s has come to %d bytes, %d ms ago; the store has %d", e.id, e.unsavedLength, quiet, e.row.CompletedLength)
			return
		}
	}
}

// checkAwaitedWorker asks that no task waits for one worker alone that takes nothing.
func (c *Oracle) checkAwaitedWorker(e *taskHistory, reason string) {
	rest, ok := strings.CutPrefix(reason, "waits for the worker ")
	name, _, _ := strings.Cut(rest, ",")
	k := c.workers[name]
	if !ok || k == nil || !k.registered || k.heartbeat == nil {
		return
	}
	if !k.isLive || k.heartbeat.State != model.StateReady || c.isDrained(k) {
		c.violate("waits-for-a-reason", "%s %s; that is %s, drained or gone", e.id, reason, k.heartbeat.State)
	}
}

// canReclaim reports whether a worker is told to drop what it lost by its silence
// alone, and nobody else was given.
func (c *Oracle) canReclaim(e *taskHistory, worker string, d model.Drop) bool {
	row := e.row
	return row.Status == model.StatusPending && row.Attempt == d.Attempt && row.LastWorkerID == worker && row.Losses > 0 && row.Error == nil &&
		e.failedAttempts == nil && e.requests[verbPause]+e.requests[verbUpdate]+e.requests[verbRetry]+e.requests[verbCancel] == 0 &&
		e.reported(worker, d.Attempt)&reportedRejected == 0 && c.worker(worker).leavingAt == 0 && c.worker(worker).removals == 0 && !c.isChangedInTurn(d.ID)
}

// checkOtherWorker asks that what failed for its worker's sake, and does not wait for
// that, goes to another one.
func (c *Oracle) checkOtherWorker(ch *change, k *workerHistory) {
	b := ch.before
	if b == nil || ch.task.reported(k.name, b.Attempt)&reportedWorkerError == 0 || ch.task.assignee(b.Attempt) != k.name || !c.hasExclusionSets() ||
		c.isRequestedInTurn(ch.task.id, verbPause) || c.isRequestedInTurn(ch.task.id, verbRetry) || c.isRequestedInTurn(ch.task.id, verbCancel) {
		return
	}
	inTurn := b.WorkerID == k.name && ch.after.Failures > b.Failures
	after := b.Status == model.StatusPending && b.RetryAt == 0 && b.Failures > 0 && b.Error != nil && b.Error.Class == model.ClassWorker &&
		c.world.Now()-ch.task.statusSince < 2*millis(c.cfg.HeartbeatInterval) && c.loadedAt < ch.task.statusSince && c.disturbedAt < ch.task.statusSince
	if inTurn || after {
		c.violate("not-where-refused", "%s#%d failed for the sake of %s, and is given to it again", ch.task.id, b.Attempt, k.name)
	}
}

// checkAnsweredTask asks that a verb is answered with the task as the turn has left it.
func (c *Oracle) checkAnsweredTask(e *taskHistory, verb int, a *dispatch.Answer) {
	if a.Err != nil || verb == verbDelete || c.isRequestedInTurn(e.id, verbDelete) || e.row == nil {
		return
	}
	if t := a.Task; t == nil || t.Status != e.row.Status || t.Attempt != e.row.Attempt || t.WorkerID != e.row.WorkerID || t.URL != e.row.URL {
		c.violate("answers-are-true", "a verb on %s is answered with %+v; the store has %+v", e.id, t, e.row)
	}
}

// checkLongestBackoff asks that no backoff takes longer than the longest one, whatever became
// of the wall clock: not by the rows, but by what the engine says that it waits for.
func (c *Oracle) checkLongestBackoff(e *taskHistory, reason string) {
	longest := millis(c.cfg.RetryDelay)
	quiet := c.world.Now() - max(c.statusSince(e), e.queuedAt, c.clockChangedAt, c.disturbedAt)
	if strings.HasPrefix(reason, "backs off") && e.row.NotBefore <= c.world.Wall() && quiet > longest+5000 {
		c.violate("backoff", "%s %s; that it does since %d ms, and the longest backoff takes %d", e.id, reason, quiet, longest)
	}
}
