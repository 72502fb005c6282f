package oracle

import (
	"cmp"
	"slices"

	"github.com/aria-cluster/dispatcher/internal/dispatch"
	"github.com/aria-cluster/dispatcher/internal/engine"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// replay goes through what was said in a turn, in order, with its answers: each
// must be true by the store, and what the dispatcher knows of workers follows.
func (c *Oracle) replay() {
	c.lostInTurn()
	for _, ev := range c.turn.workers {
		switch k := c.worker(ev.ID); {
		case ev.Status == model.WorkerRemoved && !c.removedInTurn(ev.ID):
			c.forgotten(k)
		case ev.Status == model.WorkerOffline:
			c.gone(k)
		}
	}
	for _, m := range c.turn.calls {
		for i, op := range m.Ops {
			a := &m.Answers[i]
			if a.Err != nil {
				c.checkRefusal(op, a)
			}
			switch op := op.(type) {
			case engine.Import:
				if c.count(op, a); a.Err == nil {
					c.violate("refusals", "an event that panics is said to be done")
				}
			case engine.Submit:
				c.checkSubmit(op, a)
			case engine.Heartbeat:
				c.checkBeat(op.Heartbeat, a)
			case engine.Report:
				c.checkReport(op, a)
			case engine.RemoveWorker:
				if c.count(op, a); a.Err == nil {
					c.checkRemoval(op)
					c.forgotten(c.worker(op.ID))
				}
			case engine.QueryTasks, engine.QueryWorkers, engine.QueryStatus:
				c.count(op, a)
			default:
				c.checkVerb(op, a)
			}
		}
	}
	c.heldBackInTurn()
	c.checkRemoved()
	for _, ev := range c.turn.workers { // one that was taken for lost and reports is back
		if k := c.worker(ev.ID); ev.Status != model.WorkerOffline && ev.Status != model.WorkerRemoved && k.spoken && !k.present && !k.left {
			k.present, k.heard = true, c.w.Now()
		}
	}
}

// count counts an event that was answered as it should be.
func (c *Oracle) count(op engine.Event, a *dispatch.Answer) {
	if kind := kindOf(op, a); kind != "" {
		c.w.CountEvent(kind)
	}
}

// gone is a worker that is lost or has left: what it was told to stop is over.
func (c *Oracle) gone(k *known) {
	k.present = false
	clear(k.stopping)
}

// refusedBeats reports whether a heartbeat was refused in the turn because the
// store fails.
func (c *Oracle) refusedBeats() bool {
	for _, m := range c.turn.calls {
		if _, ok := m.Ops[0].(engine.Heartbeat); ok && m.Answers[0].Err != nil && m.Answers[0].Err.Code == model.CodeUnavailable {
			return true
		}
	}
	return false
}

// forgotten is a worker of which the dispatcher knows nothing any more.
func (c *Oracle) forgotten(k *known) {
	c.gone(k)
	k.beat, k.spoken = nil, false
}

// removedInTurn reports whether an operator has removed the worker: then that comes
// after what workers said.
func (c *Oracle) removedInTurn(worker string) bool {
	for _, m := range c.turn.calls {
		for _, op := range m.Ops {
			if r, ok := op.(engine.RemoveWorker); ok && r.ID == worker {
				return true
			}
		}
	}
	return false
}

// lostInTurn finds what the tick did before anything was heard: workers that were
// lost, and attempts that took too long, which their workers have to stop.
func (c *Oracle) lostInTurn() {
	for _, ch := range c.turn.changes {
		b, a := ch.before, ch.after
		if b == nil || a == nil || b.WorkerID == "" {
			continue
		}
		switch k := c.worker(b.WorkerID); {
		case a.Losses > b.Losses:
			c.gone(k)
		case a.Failures > b.Failures && b.Timeout > 0:
			c.stops(k, ch.e.id, b.Attempt, false)
		}
	}
}

// heldBackInTurn finds what clients have taken from workers, after these had their
// say: they have to stop it.
func (c *Oracle) heldBackInTurn() {
	for _, ch := range c.turn.changes {
		b, a, id := ch.before, ch.after, ch.e.id
		if b == nil {
			continue
		}
		holder := cmp.Or(b.WorkerID, b.LastWorkerID)
		ends := c.asked(id, asCancel) || c.asked(id, asPause) || c.asked(id, asUpdate) && (a == nil || a.WorkerID != holder)
		if holder == "" || !ends {
			continue
		}
		k := c.worker(holder)
		stopped := a != nil && (a.Status == model.StatusCanceled || a.Status == model.StatusPaused)
		c.stops(k, id, b.Attempt, stopped && b.WorkerID != "" && c.onlyWord(id) && k.present)
	}
}

// onlyWord reports whether one operation of the turn speaks of a task.
func (c *Oracle) onlyWord(id string) bool {
	n := 0
	for _, m := range c.turn.calls {
		for _, op := range m.Ops {
			switch op := op.(type) {
			case engine.Heartbeat:
				if op.State == model.StateLeaving || slices.ContainsFunc(op.Tasks, func(r model.Report) bool { return r.ID == id }) {
					n++
				}
			case engine.Report:
				if op.ID == id {
					n++
				}
			default:
				if other, _, _ := verbOf(op); other == id {
					n++
				}
			}
		}
	}
	return n == 1
}

func (c *Oracle) stops(k *known, id string, attempt int64, certain bool) {
	if old, ok := k.stopping[id]; ok && old.certain && old.attempt == attempt {
		return
	}
	k.stopping[id] = stopping{attempt, certain}
}

// checkRefusal asks that a refusal is one that the contract knows.
func (c *Oracle) checkRefusal(op engine.Event, a *dispatch.Answer) {
	if _, ok := op.(engine.Heartbeat); ok && a.Err.Code == model.CodeUnavailable {
		c.shakenAt = c.w.Now()
	}
	switch a.Err.Code {
	case model.CodeNotFound, model.CodeConflict, model.CodeTooMany, model.CodeUnavailable:
	case model.CodeInternal:
		if !isPoison(op) {
			c.violate("refusals", "%T is answered 500, and it is another event that panics", op)
		}
	default:
		c.violate("refusals", "%T is answered %d: %s", op, a.Err.Code, a.Err.Message)
	}
}

func (c *Oracle) checkSubmit(op engine.Submit, a *dispatch.Answer) {
	e := c.entry(op.Spec.ID)
	switch {
	case a.Err == nil && c.asked(e.id, asDelete): // in one turn
	case a.Err == nil:
		if e.row == nil || e.row.Client != op.Client || e.row.SpecHash != op.Hash {
			c.violate("answers-are-true", "the submit of %s by %s is acknowledged; the store has %s", e.id, op.Client, told(e.row))
			return
		}
		earlier := c.inTurn(e.id) && !c.bornInTurn(e) // by a turn that took in the first part of a long message
		if a.Task == nil || a.Task.ID != e.id || a.Task.Status != e.row.Status && !earlier {
			c.violate("answers-are-true", "the submit of %s is answered with %s; the store has %s", e.id, told(a.Task), told(e.row))
		}
		c.count(op, a)
		e.acked = true
	case a.Err.Code == model.CodeConflict:
		if e.row != nil && e.row.Client == op.Client && e.row.SpecHash == op.Hash {
			c.violate("idempotent", "%s is submitted again as it was, and refused: %s", e.id, a.Err.Message)
		}
		if e.row == nil && !e.gone && !c.inTurn(e.id) {
			c.violate("refusals", "%s does not exist, and its submit is refused: %s", e.id, a.Err.Message)
		}
		c.count(op, a)
	case a.Err.Code == model.CodeTooMany:
		c.checkTooMany(e, op.Client, a)
		c.count(op, a)
	}
}

// checkTooMany asks that a limit which is said to be reached is.
func (c *Oracle) checkTooMany(e *entry, client string, a *dispatch.Answer) {
	if c.cfg.RequirementSets >= 1000 && c.roomFor(client) {
		c.violate("refusals", "%s is refused: %s", e.id, a.Err.Message)
	}
}

// told is a row in a few words.
func told(t *model.Task) string {
	if t == nil {
		return "none"
	}
	return string(t.Status) + " of " + t.Client
}

// checkBeat takes over what a worker says of itself.
func (c *Oracle) checkBeat(h *model.Heartbeat, a *dispatch.Answer) {
	k := c.worker(h.WorkerID)
	if a.Err != nil {
		c.count(engine.Heartbeat{Heartbeat: h}, a)
		return
	}
	c.checkAdmitted(k, h)
	for _, d := range a.Heartbeat.Drop {
		c.checkDrop(k.name, d)
	}
	for _, ref := range a.Heartbeat.Forget {
		c.checkForget(k.name, ref)
	}
	for _, as := range a.Heartbeat.Assign {
		c.checkAssignment(k.name, &as)
	}
	if old := k.beat; old != nil && old.Instance == h.Instance && old.Epoch == h.Epoch && h.Seq < old.Seq && k.spoken {
		return // overtaken
	}
	if !k.present && k.beat == nil && h.State == model.StateLeaving {
		return // a stranger's goodbye
	}
	c.count(engine.Heartbeat{Heartbeat: h}, a)
	repeated := k.beat != nil && k.beat.Instance == h.Instance && k.beat.Epoch == h.Epoch && h.Seq == k.beat.Seq
	k.beat, k.heard, k.present, k.left = h, c.w.Now(), true, h.State == model.StateLeaving
	k.spoken, k.overdue = true, false
	listed := c.listen(k, h, a.Heartbeat)
	c.checkLevel(k, h, a.Heartbeat, listed)
	if k.left {
		c.gone(k)
		return
	}
	for id, s := range k.stopping { // in any order: each is looked at alone
		switch {
		case listed[id] == s.attempt:
		case !repeated && !h.Partial:
			delete(k.stopping, id)
		default:
			k.stopping[id] = stopping{s.attempt, false}
		}
	}
}

// listen takes over what a heartbeat says of tasks.
func (c *Oracle) listen(k *known, h *model.Heartbeat, a *model.HeartbeatAnswer) map[string]int64 {
	listed := make(map[string]int64, len(h.Tasks))
	for i := range h.Tasks {
		r := &h.Tasks[i]
		listed[r.ID] = r.Attempt
		c.heardOf(k, r)
		if s, ok := k.stopping[r.ID]; ok {
			k.stopping[r.ID] = stopping{s.attempt, false}
		}
		if slices.ContainsFunc(a.Drop, func(d model.Drop) bool { return d.ID == r.ID && d.Attempt == r.Attempt }) && !r.Status.Finished() {
			if s, ok := k.stopping[r.ID]; !ok || s.attempt != r.Attempt {
				k.stopping[r.ID] = stopping{r.Attempt, false}
			}
		}
	}
	return listed
}

// checkLevel asks that the answer to a heartbeat says all: what the worker lacks and
// should hold, and what it lists and should not.
func (c *Oracle) checkLevel(k *known, h *model.Heartbeat, a *model.HeartbeatAnswer, listed map[string]int64) {
	for _, e := range c.order {
		row := e.row
		if row == nil || row.WorkerID != k.name || c.inTurn(e.id) || h.Partial || k.left || listed[e.id] == row.Attempt || c.w.Now() == c.shakenAt {
			continue
		}
		if !slices.ContainsFunc(a.Assign, func(as model.Assignment) bool { return as.Task.ID == e.id && as.Attempt == row.Attempt }) {
			c.violate("level-not-edge", "%s does not list %s#%d, which it holds, and is not given it again", k.name, e.id, row.Attempt)
		}
	}
	for i := range h.Tasks {
		r := &h.Tasks[i]
		row := c.entry(r.ID).row
		same := func(ref model.TaskRef) bool { return ref == r.Ref() }
		switch {
		case c.inTurn(r.ID) || row != nil && row.WorkerID == k.name && row.Attempt == r.Attempt:
		case row == nil && c.imports.active: // it may come with the rest of what is imported
		case row == nil && c.w.Now()-max(c.loadedAt, c.shakenAt) < 2*c.timeout()+20_000: // it may not be called unknown yet
		case slices.ContainsFunc(a.Forget, same):
		case !slices.ContainsFunc(a.Drop, func(d model.Drop) bool { return same(model.TaskRef{ID: d.ID, Attempt: d.Attempt}) }):
			c.violate("level-not-edge", "%s lists %s#%d, %s, which it does not hold, and is not told to drop it", k.name, r.ID, r.Attempt, r.Status)
		}
	}
}

// heardOf notes that a registered worker has spoken of an attempt.
func (c *Oracle) heardOf(k *known, r *model.Report) {
	e := c.entry(r.ID)
	if e.row == nil || e.row.Status.Terminal() || c.bornInTurn(e) {
		e.named = 0
		return
	}
	if e.holder(r.Attempt) == k.name && e.row.Attempt == r.Attempt {
		e.listedAt = c.w.Now()
		c.owes(e, r)
	}
	if k.present && r.Attempt < 1<<40 {
		e.named = max(e.named, r.Attempt)
	}
}

func (c *Oracle) bornInTurn(e *entry) bool {
	return slices.ContainsFunc(c.turn.changes, func(ch change) bool { return ch.e == e && ch.before == nil })
}

// checkAdmitted asks that one worker at a time has a name.
func (c *Oracle) checkAdmitted(k *known, h *model.Heartbeat) {
	old := k.beat
	if old == nil {
		return
	}
	if old.Instance == h.Instance && h.Epoch < old.Epoch && k.present {
		c.violate("one-worker-a-name", "%s: epoch %d is heard after epoch %d", k.name, h.Epoch, old.Epoch)
	}
	if old.Instance != h.Instance && k.present && !c.silent(k.name) {
		c.violate("one-worker-a-name", "%s: the instance %s takes the name of %s, which is alive", k.name, h.Instance, old.Instance)
	}
}

// checkReport asks that what is accepted of a worker is in the store.
func (c *Oracle) checkReport(op engine.Report, a *dispatch.Answer) {
	k := c.worker(op.Worker)
	c.count(op, a)
	if a.Drop != nil {
		c.checkDrop(op.Worker, *a.Drop)
	}
	if a.Err != nil {
		if k.present && a.Err.Code == model.CodeConflict {
			c.heardOf(k, &op.Report)
		}
		return
	}
	if op.Status.Finished() {
		c.checkForget(op.Worker, op.Ref())
	}
	if k.spoken && !k.present && !k.left && c.inTurn(op.ID) {
		k.present, k.heard = true, c.w.Now() // it was taken for lost and takes its task back
	}
	if s, ok := k.stopping[op.ID]; ok { // a newer attempt there ends an older one
		k.stopping[op.ID] = stopping{s.attempt, false}
	}
	c.heardOf(k, &op.Report)
}

// isPoison reports whether an event is one of those of poison.
func isPoison(op engine.Event) bool {
	switch op := op.(type) {
	case engine.Import:
		return true
	case engine.QueryWorkers:
		return op.ID == "" && op.Limit == 0
	}
	return false
}
