package engine

import "github.com/aria-cluster/dispatcher/pkg/model"

// Update changes a task that is not completed. A failed or canceled one keeps its
// status until a [Retry].
type Update struct {
	Client string
	ID     string
	Change *model.TaskUpdate // validated
}

// Traits implements [Event].
func (u Update) Traits() Traits {
	t := Traits{Client: u.Client, Task: u.ID}
	if m := u.Change.Mirrors; m != nil {
		t.Bytes += mirrorBytes(*m)
	}
	if o := u.Change.Options; o != nil {
		t.Bytes += optionBytes(*o)
	}
	return t
}

func (u Update) reads(_ *Engine, ids []string) []string { return append(ids, u.ID) }

// decide changes what was asked for. A task that is being downloaded from
// elsewhere, or with other options, than is now asked for gets a new attempt where
// its bytes are, at once.
func (u Update) decide(e *Engine) Answer {
	row, err := e.own(u.Client, u.ID)
	if err != nil {
		return Answer{Err: err}
	}
	t := e.tasks[u.ID]
	if t == nil {
		return e.updateEnded(row, u.Change)
	}
	next := *row
	if err := u.Change.Apply(&next.TaskSpec); err != nil {
		return Answer{Err: err.For(u.ID)}
	}
	n := needsOf(&next.TaskSpec)
	if base := t.line.class.set.need; n.key() != base.key() {
		if err := e.hasRoomForSet(&next.TaskSpec); err != nil {
			return Answer{Err: err.For(u.ID)}
		}
	}
	next.UpdatedAt = e.now
	interrupts := u.Change.Interrupts()
	target := t.client.cools[siteOf(next.URL)]
	stays := t.run != nil && (!interrupts || !target.closed() && e.queue.lacks(&n, &t.run.worker.Capabilities, roomless) == "")
	if interrupts && t.status() == model.StatusPending {
		next.RetryAt = 0 // what failed was another link
	}
	if interrupts && !stays && t.attempt > 0 {
		next.Attempt = t.named() + 1 // whoever had it before had another link: no word of that counts any more
	}
	e.write(&model.TaskChange{ID: u.ID, From: t.status(), Put: &next})
	e.follows(t, &next, n)
	switch {
	case t.run != nil && interrupts:
		e.startOver(t, stays, next.Attempt)
	case t.attempt != next.Attempt:
		t.attempt, t.reclaimable = next.Attempt, false
	}
	return Answer{TaskID: u.ID}
}

// updateEnded changes what a failed or canceled task asks for. It keeps its status:
// only a retry makes it pending.
func (e *Engine) updateEnded(row *model.Task, change *model.TaskUpdate) Answer {
	if row.Status != model.StatusFailed && row.Status != model.StatusCanceled {
		return cannot(row, "updated")
	}
	next := *row
	if err := e.changeEnded(&next, change); err != nil {
		return Answer{Err: err}
	}
	next.UpdatedAt = e.now
	e.write(&model.TaskChange{ID: row.ID, From: row.Status, Put: &next})
	return Answer{TaskID: row.ID}
}

// changeEnded applies a change to the row of a task that has ended. Where the next
// attempt would fetch something else, the attempt is raised, so that no late report
// about the old source counts for the new one.
func (e *Engine) changeEnded(next *model.Task, change *model.TaskUpdate) *model.Error {
	if err := change.Apply(&next.TaskSpec); err != nil {
		return err.For(next.ID)
	}
	if change.Interrupts() && next.Attempt > 0 {
		highest := next.Attempt
		if ended := e.turn.ended[next.ID]; ended != nil { // no row has what a worker has named
			highest = max(highest, ended.named())
		}
		next.Attempt = highest + 1
	}
	return nil
}

// follows brings the engine's record of a task in line with an updated row.
func (e *Engine) follows(t *task, row *model.Task, n need) {
	x := t.grow()
	x.notBefore, x.retryAt = row.NotBefore, row.RetryAt
	if site := siteOf(row.URL); site != t.site {
		e.endTrial(t, false)
		t.site, x.asked = site, false
	}
	if t.run == nil {
		e.withdraw(t)
	}
	e.move(t, home{need: n, host: e.queue.hosts.of(&row.TaskSpec), priority: row.Priority})
	e.place(t)
}

// startOver gives a task that is held by a worker a new attempt: on the same
// worker, which keeps what is there, if the task stays; else it has the given
// attempt while it waits.
func (e *Engine) startOver(t *task, stays bool, attempt int64) {
	state := t.run.progress.ended()
	w := t.run.worker
	if !stays {
		e.drop(w.ID, t.id, t.attempt, model.DropSuperseded)
	}
	e.release(t, !stays)
	t.attempt = attempt
	state.Status, state.LastWorkerID = model.StatusPending, w.ID
	e.change(t, model.SetStatus|model.SetWorker|model.SetLastWorker|model.SetProgress, state)
	if stays {
		e.assign(w, t)
		return
	}
	e.place(t)
}
