package engine

import "github.com/aria-cluster/dispatcher/pkg/model"

// own returns the row of a task on which its client, or an operator, acts.
func (e *Engine) own(client, id string) (*model.Task, *model.Error) {
	row := e.row(id)
	if row == nil || client != "" && row.Client != client {
		return nil, model.Errorf(model.CodeNotFound, "there is no task %s", id).For(id)
	}
	return row, nil
}

// cannot is the answer to what the state of a task does not allow.
func cannot(row *model.Task, be string) Answer {
	return Answer{Err: model.Errorf(model.CodeConflict, "the task %s is %s and cannot be %s", row.ID, row.Status, be).For(row.ID)}
}

// cancel ends a task for its client. The worker that holds it is told, and keeps
// the slot until it has stopped; one that has a part of its file removes that.
func (e *Engine) cancel(c Cancel) Answer {
	row, err := e.own(c.Client, c.ID)
	if err != nil {
		return Answer{Err: err}
	}
	t := e.tasks[c.ID]
	switch {
	case row.Status == model.StatusCanceled:
		return Answer{Task: c.ID}
	case e.isAside(c.ID):
		return e.cancelAside(row)
	case t == nil || !t.status().CanBecome(model.StatusCanceled):
		return cannot(row, "canceled")
	}
	if t.run != nil {
		e.drop(t.workerID(), t.id, t.attempt, model.DropCanceled)
	} else if x := t.more(); x.bytes > 0 {
		e.eraseAt(x.last, model.Drop{ID: t.id, Attempt: t.attempt, Reason: model.DropCanceled})
	}
	e.finish(t, model.StatusCanceled, nil, nil)
	return Answer{Task: c.ID}
}

// pause holds a task back for its client. The worker that holds it is told, keeps
// what it has of the file, and keeps the slot until it has stopped.
func (e *Engine) pause(p Pause) Answer {
	row, err := e.own(p.Client, p.ID)
	if err != nil {
		return Answer{Err: err}
	}
	t := e.tasks[p.ID]
	switch {
	case row.Status == model.StatusPaused:
		return Answer{Task: p.ID}
	case t == nil || !t.status().CanBecome(model.StatusPaused):
		return cannot(row, "paused")
	}
	set, state := model.SetStatus|model.SetWorker|model.SetRetryAt, model.TaskState{}
	if t.run != nil {
		state = t.run.progress.ended()
		state.LastWorkerID = t.workerID()
		set |= model.SetProgress | model.SetGID | model.SetLastWorker
		e.drop(t.workerID(), t.id, t.attempt, model.DropPaused)
		e.release(t, true)
	}
	t.reclaimable = false
	if x := t.extra; x != nil {
		x.retryAt, x.boundTo, x.until, x.avoids = 0, "", 0, nil
		e.updateSet(t)
	}
	state.Status = model.StatusPaused
	e.change(t, set, state)
	e.place(t)
	return Answer{Task: p.ID}
}

// resume lets a paused task go on, best where a part of its file is.
func (e *Engine) resume(r Resume) Answer {
	row, err := e.own(r.Client, r.ID)
	if err != nil {
		return Answer{Err: err}
	}
	t := e.tasks[r.ID]
	if t == nil || t.status() != model.StatusPaused {
		return cannot(row, "resumed: only a paused one can")
	}
	e.change(t, model.SetStatus, model.TaskState{Status: model.StatusPending})
	e.place(t)
	return Answer{Task: r.ID}
}

// retry gives a failed or canceled task all its attempts again. What a canceled
// one had is gone, and no late word about it counts; a failed one goes best where
// a part of its file is.
func (e *Engine) retry(r Retry) Answer {
	row, err := e.own(r.Client, r.ID)
	if err != nil {
		return Answer{Err: err}
	}
	if row.Status != model.StatusFailed && row.Status != model.StatusCanceled {
		return cannot(row, "retried: only a failed or canceled one can")
	}
	next := *row
	if r.URL != "" {
		if err := e.changeEnded(&next, &model.TaskUpdate{URL: &r.URL}); err != nil {
			return Answer{Err: err}
		}
	}
	if err := next.CheckSize(r.MaxSize); err != nil {
		return Answer{Err: err.For(r.ID)}
	}
	if err := e.hasRoom(next.Client, &next.TaskSpec); err != nil {
		return Answer{Err: err.For(r.ID)}
	}
	set := model.SetStatus | model.SetFailures | model.SetRetryAt | model.SetFinished
	next.Failures, next.Losses, next.RetryAt, next.FinishedAt = 0, 0, 0, 0
	if row.Status == model.StatusCanceled {
		set |= model.SetLastWorker | model.SetProgress | model.SetGID
		next.LastWorkerID, next.GID = "", ""
		next.Progress, next.CompletedLength, next.TotalLength = 0, 0, 0
	}
	next.Status, next.UpdatedAt = model.StatusPending, e.now
	e.counts[row.Status]--
	e.counts[model.StatusPending]++
	change := model.TaskChange{ID: r.ID, From: row.Status, Set: set, State: next.TaskState}
	if r.URL != "" {
		whole := next
		change = model.TaskChange{ID: r.ID, From: row.Status, Put: &whole}
	}
	e.write(&change)
	ended := e.turn.ended[r.ID]
	delete(e.turn.ended, r.ID)
	t := e.load(&next, false)
	t.reclaimable = false
	if ended != nil && ended.named() > t.attempt { // no row has what a worker has named
		t.grow().named = ended.named()
	}
	e.tell(t, &model.TaskState{})
	return Answer{Task: r.ID}
}

// update changes what was asked for. A task that is being downloaded from
// elsewhere, or with other options, than is now asked for gets a new attempt where
// its bytes are, at once.
func (e *Engine) update(u Update) Answer {
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
	stays := t.run != nil && (!interrupts || e.queue.lacks(&n, &t.run.worker.Capabilities, roomless) == "")
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
	return Answer{Task: u.ID}
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
	return Answer{Task: row.ID}
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

// remove deletes the row of a task that has ended; its id stays taken for a while.
func (e *Engine) remove(d Delete) Answer {
	row, err := e.own(d.Client, d.ID)
	switch {
	case err != nil:
		return Answer{Err: err}
	case !row.Status.Terminal():
		return cannot(row, "deleted: cancel it first")
	case e.turn.known.Tasks[d.ID] == nil:
		// There would be no row to leave a tombstone of, nor to show.
		return Answer{Err: model.Errorf(model.CodeUnavailable, "the task %s was made a moment ago: try again", d.ID).For(d.ID)}
	}
	if d.Files {
		if err := e.eraseFiles(row); err != nil {
			return Answer{Err: err}
		}
	}
	e.deleteRow(row.ID, row.Status)
	return Answer{Task: d.ID}
}

// eraseFiles has the worker that has a task's files remove them.
func (e *Engine) eraseFiles(row *model.Task) *model.Error {
	if row.LastWorkerID == "" {
		return nil
	}
	if w := e.workers[row.LastWorkerID]; w == nil || w.lost {
		return model.Errorf(model.CodeConflict,
			"files: the worker %s, which has the files of the task %s, is not online", row.LastWorkerID, row.ID).For(row.ID)
	}
	e.eraseAt(row.LastWorkerID, model.Drop{
		ID: row.ID, Attempt: row.Attempt, Reason: model.DropDeleted, Folder: row.Folder, Result: row.Result,
	})
	return nil
}

func (e *Engine) deleteRow(id string, from model.Status) {
	e.counts[from]--
	keep := model.Time(0)
	if e.cfg.RetainIDs > 0 {
		keep = e.now.Add(e.cfg.RetainIDs)
	}
	e.write(&model.TaskChange{ID: id, From: from, Delete: true, Keep: keep})
}

// expireRows deletes what retention has found, but for what has changed since.
func (e *Engine) expireRows(x Expire) Answer {
	for i := range x.Rows {
		r := &x.Rows[i]
		if _, changed := e.turn.changed[r.ID]; !changed && e.tasks[r.ID] == nil {
			e.deleteRow(r.ID, r.From)
		}
	}
	if x.Forget {
		e.turn.plan.Batch.Forget = e.now
	}
	return Answer{}
}
