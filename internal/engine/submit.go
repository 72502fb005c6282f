package engine

import "github.com/aria-cluster/dispatcher/pkg/model"

// Submit asks for one download. Its spec is validated and hashed and has an id; the engine
// sets the defaults and keeps the spec.
type Submit struct {
	Client string
	Spec   *model.TaskSpec
	Hash   model.Hash
	// Chosen says that the client gave the id itself, so that the task may exist
	// already. A generated id is new by construction.
	Chosen bool
	Via    Via
	// Traceparent is that of the request, valid or empty. A repeated submit does not
	// change that of the task.
	Traceparent string
}

// Traits implements [Event].
func (s Submit) Traits() Traits {
	spec := s.Spec
	t := Traits{Client: s.Client, Task: spec.ID}
	t.Bytes = len(spec.Torrent) + len(spec.Metalink) + len(spec.URL) + mirrorBytes(spec.Mirrors) + optionBytes(spec.Options)
	if s.Chosen {
		t.Creates = spec.ID
	}
	return t
}

func mirrorBytes(mirrors []string) (n int) {
	for _, m := range mirrors {
		n += len(m)
	}
	return n
}

func optionBytes(options model.Options) (n int) {
	for _, values := range options { // in any order: only a sum
		for _, v := range values {
			n += len(v)
		}
	}
	return n
}

func (s Submit) reads(_ *Engine, ids []string) []string {
	if s.Chosen {
		ids = append(ids, s.Spec.ID)
	}
	return ids
}

// decide makes a task, or finds the one that the same client has asked for under
// the same id.
func (s Submit) decide(e *Engine) Answer {
	id := s.Spec.ID
	if s.Chosen {
		if row := e.row(id); row != nil {
			return answerResubmit(row, &s)
		}
		if err := e.checkTombstone(id); err != nil {
			return Answer{Err: err}
		}
	}
	spec := *s.Spec
	spec.Normalize(e.cfg.MaxAttempts)
	if err := e.checkLimits(s.Client, &spec); err != nil {
		return Answer{Err: err.For(id)}
	}
	e.seq++
	row := &model.Task{
		TaskSpec: spec, Client: s.Client, SpecHash: s.Hash, Seq: e.seq, CreatedAt: e.now, Traceparent: s.Traceparent,
		TaskState: model.TaskState{Status: model.StatusPending, UpdatedAt: e.now},
	}
	if _, reused := e.turn.lookup.Tombstones[id]; reused {
		row.Attempt = reusedAttempt(row.CreatedAt, row.Seq)
	}
	t := e.newTask(row)
	t.attempt = row.Attempt
	t.setStatus(model.StatusPending)
	countPending(t.Client, model.StatusPending, 1)
	e.tasks[id] = t
	e.counts[model.StatusPending]++
	e.addChange(&model.TaskChange{ID: id, Put: row})
	e.emitStatus(t, &row.TaskState)
	e.addFact(Fact{Kind: FactSubmitted, Via: s.Via, Client: s.Client})
	e.place(t)
	return Answer{TaskID: id}
}

func answerResubmit(row *model.Task, s *Submit) Answer {
	switch {
	case row.Client != s.Client:
		return Answer{Err: model.Errorf(model.CodeConflict, "id: the task %s belongs to another client", row.ID).For(row.ID)}
	case row.SpecHash != s.Hash:
		return Answer{Err: model.Errorf(model.CodeConflict, "id: the task %s exists with another spec; it is %s", row.ID, row.Status).For(row.ID)}
	}
	return Answer{TaskID: row.ID, Existed: true}
}

// checkLimits refuses a task that would exceed a limit of waiting tasks.
func (e *Engine) checkLimits(client string, spec *model.TaskSpec) *model.Error {
	if n := e.counts[model.StatusPending] + e.counts[model.StatusPaused]; n >= e.cfg.MaxPending {
		return model.Errorf(model.CodeTooMany, "limits.max_pending: %d tasks are pending or paused already", n)
	}
	if c := e.index.Client(client); c != nil && e.cfg.ClientPending > 0 && c.Pending >= e.cfg.ClientPending {
		err := model.Errorf(model.CodeTooMany, "limits.client_pending: %d tasks of the client %s are pending or paused already", c.Pending, client)
		err.OfClient = true
		return err
	}
	return e.checkSetLimit(spec)
}

// checkSetLimit refuses a spec that needs a new requirement set past the limit.
func (e *Engine) checkSetLimit(spec *model.TaskSpec) *model.Error {
	if n := e.index.PlainSets(); n >= e.cfg.RequirementSets && e.index.NeedsNewSet(spec) {
		return model.Errorf(model.CodeTooMany,
			"limits.requirement_sets: the live tasks have %d different sets of tags, folder, protocol and timeout already", n)
	}
	return nil
}

// checkTombstone refuses the id of a task that was deleted a short time ago, in this
// turn above all: a turn writes a row once, and a new one needs a Seq of its own.
func (e *Engine) checkTombstone(id string) *model.Error {
	free := e.freeAt(e.turn.lookup.Tombstones[id].Until)
	if i, ok := e.turn.changed[id]; ok {
		free = e.freeAt(e.turn.plan.Batch.Tasks[i].Keep)
		if free <= e.now {
			return model.Errorf(model.CodeUnavailable, "id: the task %s was deleted a moment ago: try again", id).For(id)
		}
	}
	if free <= e.now {
		return nil
	}
	return model.Errorf(model.CodeConflict, "id: the task %s was deleted; its id is free again at %s", id, free).For(id)
}

// reusedAttempt is the attempt after which a task begins that has the id of a deleted one. Its
// attempts are others than those of the deleted one: a late report about these must not count for
// the new task, and a worker that remembers them must not ignore its assignments. The time
// tells it from tasks of an earlier start, which may have had its Seq, the Seq from the others.
func reusedAttempt(created model.Time, seq int64) int64 {
	const perMillisecond = 64
	return int64(created)*perMillisecond + seq%perMillisecond
}

// isNew reports whether no worker has had the task.
func (t *task) isNew() bool { return t.attempt == 0 || t.attempt == reusedAttempt(t.Created, t.Seq) }
