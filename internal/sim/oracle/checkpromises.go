package oracle

import (
	"strings"

	"github.com/aria-cluster/dispatcher/internal/dispatch"
	"github.com/aria-cluster/dispatcher/internal/engine"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// checkTimes asks that a row says when its task began and ended, as its status is:
// retention goes by it.
func (c *Oracle) checkTimes(e *entry, a *model.Task) {
	if a.Status.Terminal() != (a.FinishedAt > 0) {
		c.violate("rows-stay-true", "%s is %s, finished at %d", e.id, a.Status, a.FinishedAt)
	}
	if a.Status == model.StatusDownloading && a.StartedAt == 0 {
		c.violate("rows-stay-true", "%s is downloading and has not started", e.id)
	}
}

// checkInterrupts asks that a holder does not go on with a link which its client has
// replaced: it has a new attempt with the new one.
func (c *Oracle) checkInterrupts(e *entry, b, a *model.Task) {
	if b.Status.Active() && a.Status.Active() && a.URL != b.URL && a.Attempt == b.Attempt {
		c.violate("fresh-link-fresh-attempt", "%s#%d goes on at %s with the link that was replaced", e.id, a.Attempt, a.WorkerID)
	}
}

// checkReborn asks that the id of a deleted task stays taken for retention.ids. It
// goes by the wall clock, so it does not ask after that was turned.
func (c *Oracle) checkReborn(e *entry) {
	keep := ms(c.cfg.RetainIDs)
	if e.gone && e.goneAt > 0 && c.turnedAt <= e.goneAt && c.w.Now()-e.goneAt < keep-1000 {
		c.violate("ids-stay-taken", "%s was deleted %d ms ago, and is taken in again", e.id, c.w.Now()-e.goneAt)
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
	for _, m := range c.turn.calls {
		for _, op := range m.Ops {
			switch op := op.(type) {
			case engine.DrainWorker:
				n += one(op.ID == worker)
			case engine.ResumeWorker:
				n += one(op.ID == worker)
			case engine.RemoveWorker:
				n += one(op.ID == worker)
			}
		}
	}
	if row := c.workerRows[worker]; n == 1 && (row == nil || row.Drained != drained) {
		c.violate("answers-are-true", "%s is said to be drained: %v; the store has %+v", worker, drained, row)
	}
}

func one(b bool) int {
	if b {
		return 1
	}
	return 0
}

// checkRemoved asks that a worker which is said to be removed is not in the store.
func (c *Oracle) checkRemoved() {
	for i, ev := range c.turn.workers {
		if ev.Status != model.WorkerRemoved {
			continue
		}
		again := false
		for _, later := range c.turn.workers[i+1:] {
			again = again || later.ID == ev.ID
		}
		if !again && c.workerRows[ev.ID] != nil {
			c.violate("events-are-true", "%s is told to be removed, and is in the store", ev.ID)
		}
	}
}

// checkRemoval asks that a living worker is removed with force only.
func (c *Oracle) checkRemoval(op engine.RemoveWorker) {
	if k := c.worker(op.ID); !op.Force && k.present && !k.left && !c.silent(op.ID) {
		c.violate("refusals", "%s is removed without force; it was heard %d ms ago", op.ID, c.w.Now()-k.heard)
	}
}

// checkChoice asks, where a turn has placed one task only, that the strategy was
// followed. A worker of whose slots it is not certain is left out.
func (c *Oracle) checkChoice(placed []*entry) {
	if len(placed) != 1 || c.asked(placed[0].id, asUpdate) {
		return
	}
	e := placed[0]
	k := c.worker(e.row.WorkerID)
	certain, most := c.busy(k)
	if k.beat == nil || certain != most || e.row.LastWorkerID != "" {
		return
	}
	mine := rankOf(k, e.row)
	for _, name := range c.names {
		o := c.workers[name]
		if o == k || !c.couldTake(o, e.row) {
			continue
		}
		used, mostUsed := c.busy(o)
		if used != mostUsed || used >= o.beat.TotalSlots {
			continue
		}
		rank := rankOf(o, e.row)
		switch c.cfg.Strategy {
		case engine.StrategyTags:
			if rank > mine {
				c.violate("strategy", "%s is given to %s, of whose tags %d match, and %s has %d", e.id, k.name, mine, name, rank)
			}
		case engine.StrategyLeastLoaded, "":
			if used*k.beat.TotalSlots < (certain-1)*o.beat.TotalSlots {
				c.violate("strategy", "%s is given to %s with %d of %d slots in use, and %s has %d of %d",
					e.id, k.name, certain-1, k.beat.TotalSlots, name, used, o.beat.TotalSlots)
			}
		}
	}
}

// couldTake reports whether a worker would have been as good for a new task.
func (c *Oracle) couldTake(k *known, t *model.Task) bool {
	return k.present && k.spoken && k.beat != nil && k.heard < c.w.Now() && k.beat.State == model.StateReady &&
		!c.drained(k) && healthy(k) && roomy(k, t) && c.able(k, t) && c.w.Now()-c.shakenAt > 1000
}

// rankOf counts the task's tags that a worker has.
func rankOf(k *known, t *model.Task) int {
	n := 0
	for name, value := range t.Tags { // in any order: a sum
		n += one(k.beat.Capabilities.Tags[name] == value)
	}
	return n
}

// owes notes progress that the store does not have yet.
func (c *Oracle) owes(e *entry, r *model.Report) {
	switch {
	case r.Status != model.ReportDownloading || e.row.Status != model.StatusDownloading || r.CompletedLength <= e.row.CompletedLength:
		e.owed = 0
	case e.owed == 0:
		e.owed, e.owedSince = r.CompletedLength, c.w.Now()
	}
}

// checkProgress asks, now and then, that progress reaches the store.
func (c *Oracle) checkProgress() {
	for _, e := range c.order {
		if quiet := c.w.Now() - max(e.owedSince, c.shakenAt); e.row != nil && e.owed > 0 && quiet > 10_000 {
			c.violate("progress-is-kept", "%s has come to %d bytes, %d ms ago; the store has %d", e.id, e.owed, quiet, e.row.CompletedLength)
			return
		}
	}
}

// checkAwaited asks that no task waits for one worker alone that takes nothing.
func (c *Oracle) checkAwaited(e *entry, reason string) {
	rest, ok := strings.CutPrefix(reason, "waits for the worker ")
	name, _, _ := strings.Cut(rest, ",")
	k := c.workers[name]
	if !ok || k == nil || !k.spoken || k.beat == nil {
		return
	}
	if !k.present || k.beat.State != model.StateReady || c.drained(k) {
		c.violate("waits-for-a-reason", "%s %s; that is %s, drained or gone", e.id, reason, k.beat.State)
	}
}

// mayTakeBack reports whether a worker is told to drop what it lost by its silence
// alone, and nobody else was given.
func (c *Oracle) mayTakeBack(e *entry, worker string, d model.Drop) bool {
	row := e.row
	return row.Status == model.StatusPending && row.Attempt == d.Attempt && row.LastWorkerID == worker && row.Losses > 0 && row.Error == nil &&
		e.failed == nil && e.asked[asPause]+e.asked[asUpdate]+e.asked[asRetry]+e.asked[asCancel] == 0 &&
		e.has(worker, d.Attempt)&saidRejected == 0 && c.worker(worker).leftAt == 0 && c.worker(worker).removals == 0 && !c.inTurn(d.ID)
}

// checkElsewhere asks that what failed for its worker's sake, and does not wait for
// that, goes to another one.
func (c *Oracle) checkElsewhere(ch *change, k *known) {
	b := ch.before
	if b == nil || ch.e.has(k.name, b.Attempt)&saidWorker == 0 || ch.e.holder(b.Attempt) != k.name || !c.manySets() ||
		c.asked(ch.e.id, asPause) || c.asked(ch.e.id, asRetry) || c.asked(ch.e.id, asCancel) {
		return
	}
	inTurn := b.WorkerID == k.name && ch.after.Failures > b.Failures
	after := b.Status == model.StatusPending && b.RetryAt == 0 && b.Failures > 0 && b.Error != nil && b.Error.Class == model.ClassWorker &&
		c.w.Now()-ch.e.since < 2*ms(c.cfg.HeartbeatInterval) && c.loadedAt < ch.e.since && c.shakenAt < ch.e.since
	if inTurn || after {
		c.violate("not-where-refused", "%s#%d failed for the sake of %s, and is given to it again", ch.e.id, b.Attempt, k.name)
	}
}

// checkShown asks that a verb is answered with the task as the turn has left it.
func (c *Oracle) checkShown(e *entry, verb int, a *dispatch.Answer) {
	if a.Err != nil || verb == asDelete || c.asked(e.id, asDelete) || e.row == nil {
		return
	}
	if t := a.Task; t == nil || t.Status != e.row.Status || t.Attempt != e.row.Attempt || t.WorkerID != e.row.WorkerID || t.URL != e.row.URL {
		c.violate("answers-are-true", "a verb on %s is answered with %+v; the store has %+v", e.id, t, e.row)
	}
}

// checkWait asks that no backoff takes longer than the longest one, whatever became
// of the wall clock: not by the rows, but by what the engine says that it waits for.
func (c *Oracle) checkWait(e *entry, reason string) {
	longest := ms(c.cfg.RetryDelay)
	quiet := c.w.Now() - max(c.since(e), e.queuedAt, c.turnedAt, c.shakenAt)
	if strings.HasPrefix(reason, "backs off") && e.row.NotBefore <= c.w.Wall() && quiet > longest+5000 {
		c.violate("backoff", "%s %s; that it does since %d ms, and the longest backoff takes %d", e.id, reason, quiet, longest)
	}
}
