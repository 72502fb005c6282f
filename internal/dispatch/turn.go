package dispatch

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/aria-cluster/dispatcher/internal/engine"
	"github.com/aria-cluster/dispatcher/pkg/model"
	"github.com/aria-cluster/dispatcher/pkg/repo"
)

// Store is what a turn needs of a store.
type Store interface {
	Commit(ctx context.Context, b *model.Batch) error
	Tasks(ctx context.Context, ids []string) (map[string]*model.Task, error)
	Counts(ctx context.Context) (model.Counts, error)
	Live(ctx context.Context) iter.Seq2[*model.Task, error]
	Workers(ctx context.Context) ([]*model.Worker, error)
	LastSeq(ctx context.Context) (int64, error)
	repo.Pruner
}

// Turn takes batches of events through engine and store. It is not safe for
// concurrent use.
type Turn struct {
	cfg       engine.Config
	store     Store
	lease     Lease
	engine    *engine.Engine // nil after what may have changed the store otherwise, until Load
	stale     *engine.Engine // the engine of before, until Load: it answers queries while the store is down; see Query
	pending   pendingRows    // of the engine
	onPanic   func(text string, bug *panicError, args ...any)
	onBadRows func(badRows) // rows that cannot be read as a whole, and were set aside

	// State that no store holds and no reload may lose.
	hold       engine.ImportHold
	session    int64               // of the import under way, 0 = none
	sessions   int64               // imports that were begun
	unresolved []model.TaskChange  // of an import, written by a commit with an unknown outcome
	unloadable map[string]struct{} // rows that cannot be loaded
}

// NewTurn returns a turn that must be loaded before its first use.
func NewTurn(cfg engine.Config, store Store) *Turn {
	return &Turn{
		cfg: cfg, store: store, lease: alone{}, onPanic: func(string, *panicError, ...any) {}, onBadRows: func(badRows) {},
		hold: engine.ImportHold{Tasks: make(map[string]struct{})}, unloadable: make(map[string]struct{}),
	}
}

// Loaded reports whether an engine is loaded from the store.
func (t *Turn) Loaded() bool { return t.engine != nil }

// Outcome is what may leave after a turn.
type Outcome struct {
	Answers  []engine.Answer // one for each event, in order
	Commands []Command       // at most one for each worker
	Tasks    []model.TaskEvent
	Progress []model.ProgressEvent
	Workers  []model.WorkerEvent
	Notes    []engine.Note
	Facts    []engine.Fact // valid until the next turn
	Ask      []string      // workers that are asked for a heartbeat
	More     bool          // turn again at once: not everything that could be placed was

	Committed bool // something was written
}

// Command is sent to a worker between its heartbeats.
type Command struct {
	Worker string
	Assign []model.Assignment
	Drop   []model.Drop
}

// Do takes one batch through: it reads what deciding needs, decides, commits, and
// returns what may leave now. connected says whether heartbeats could arrive since
// the last turn.
//
// After an error nothing of the batch may be answered but that it failed. If the
// commit failed its outcome is not known, and the engine is gone until Load. So it
// is if something panicked, which is an error too, and after [repo.ErrUnsettled].
func (t *Turn) Do(ctx context.Context, now engine.Clock, connected bool, events []engine.Event) (out *Outcome, err error) {
	at := -1
	defer func() {
		if p := recover(); p != nil {
			t.unload()
			out, err = nil, panicked(at, p)
		}
	}()
	known, err := t.read(ctx, events, &at)
	if err != nil {
		// Only a load or a commit settles it. What commits outside of a turn has the engine set
		// aside after an error, see setFrozen; without that every turn would end here.
		if errors.Is(err, repo.ErrUnsettled) {
			t.setAside()
		}
		return nil, err
	}
	t.engine.Begin(now, connected, known)
	answers := make([]engine.Answer, len(events))
	for i, ev := range events {
		at = i
		answers[i] = t.step(t.engine, ev)
	}
	at = -1
	if err := t.readHistories(ctx); err != nil {
		t.engine = nil
		return nil, err
	}
	plan := t.engine.Plan()
	if !plan.Batch.Empty() {
		if !t.lease.Held() {
			t.engine = nil
			return nil, errNotLeader
		}
		t.unresolved, t.stale = imported(events), t.engine
		if err := t.store.Commit(ctx, &plan.Batch); err != nil {
			t.engine = nil
			if errors.Is(err, repo.ErrFenced) {
				t.lease.End()
			}
			return nil, fmt.Errorf("commit %d tasks and %d workers: %w", len(plan.Batch.Tasks), len(plan.Batch.Workers), err)
		}
	}
	t.stale = nil
	t.committed(&plan)
	out = t.fillAll(ctx, known.Tasks, answers, &plan)
	out.Committed, out.Facts = !plan.Batch.Empty(), plan.Facts
	if !t.lease.Held() { // the fence of the store has let the commit pass: it is true, but another may lead now
		return nil, errNotLeader
	}
	return out, nil
}

// step decides on one event. A query changes nothing, so one that panics costs its
// own answer and not the engine.
func (t *Turn) step(e *engine.Engine, ev engine.Event) (answer engine.Answer) {
	if !ev.Traits().Query {
		return e.Step(ev)
	}
	if bug := guard(func() { answer = e.Step(ev) }); bug != nil {
		t.onPanic("a query panicked; it is answered 500", bug, nameOf(ev)...)
		answer = engine.Answer{Err: errInternal}
	}
	return answer
}

// read gets from the store what deciding on the events needs: one query for the
// tasks, and one for what deleted ones have left of the ids that are not there.
// at is set to the event that is looked at.
func (t *Turn) read(ctx context.Context, events []engine.Event, at *int) (engine.Lookup, error) {
	var known engine.Lookup
	var ids []string
	for i, ev := range events {
		*at = i
		ids = t.engine.Needs(ev, ids)
	}
	*at = -1
	if len(ids) == 0 {
		return known, nil
	}
	var err error
	if known.Tasks, err = t.store.Tasks(ctx, ids); err != nil {
		return known, fmt.Errorf("read %d tasks: %w", len(ids), err)
	}
	var absent []string
	for _, ev := range events {
		if id := ev.Traits().Creates; id != "" && known.Tasks[id] == nil {
			absent = append(absent, id)
		}
	}
	if len(absent) == 0 {
		return known, nil
	}
	if known.Tombstones, err = t.store.Tombstones(ctx, absent); err != nil {
		return known, fmt.Errorf("read what %d deleted tasks may have left: %w", len(absent), err)
	}
	return known, nil
}

// readHistories reads the rows whose histories become longer, where deciding needed no
// row: those of tasks that were lost or took too long.
func (t *Turn) readHistories(ctx context.Context) error {
	ids := t.engine.Unread()
	if len(ids) == 0 {
		return nil
	}
	rows, err := t.store.Tasks(ctx, ids)
	if err != nil {
		return fmt.Errorf("read the histories of %d tasks: %w", len(ids), err)
	}
	t.engine.AddRows(rows)
	return nil
}

// Query answers queries from the engine as it is, without a turn: it writes
// nothing. Nothing else may be among the events. Between a failed commit and the next
// Load the answers are those of the engine that made the commit, so they may show changes
// that were not written; false: there is no engine.
func (t *Turn) Query(events []engine.Event) ([]engine.Answer, bool) {
	e := cmp.Or(t.engine, t.stale)
	if e == nil {
		return nil, false
	}
	answers := make([]engine.Answer, len(events))
	for i, ev := range events {
		answers[i] = t.step(e, ev)
	}
	return answers, true
}

// fillAll is fill. If that panics, the turn is committed all the same: each answer
// is made alone, so that one bad row spoils only its own, and what is not sent comes
// with the next heartbeats.
func (t *Turn) fillAll(ctx context.Context, known map[string]*model.Task, answers []engine.Answer, plan *engine.Plan) (out *Outcome) {
	bug := guard(func() { out = t.fill(ctx, known, answers, plan) })
	if bug == nil {
		return out
	}
	t.onPanic("the answers of a turn cannot be made; each is made alone", bug)
	out = &Outcome{Answers: answers, More: plan.More}
	t.pending = pendingRows{} // it may not have all changes
	for i := range answers {
		one := *plan
		one.Assign, one.Drop, one.Batch.Tasks = nil, nil, nil
		for j := range plan.Batch.Tasks {
			if c := &plan.Batch.Tasks[j]; c.ID == answers[i].TaskID {
				one.Batch.Tasks = plan.Batch.Tasks[j : j+1]
			}
		}
		if guard(func() { t.fill(ctx, known, answers[i:i+1], &one) }) != nil {
			answers[i] = engine.Answer{Err: errInternal}
		}
	}
	return out
}

// fill puts the tasks into answers and assignments. A task that cannot be read
// now leaves its assignment out: the worker's next heartbeat brings it again. One whose
// row is damaged is set aside.
func (t *Turn) fill(ctx context.Context, known map[string]*model.Task, answers []engine.Answer, plan *engine.Plan) *Outcome {
	rows := &rows{known: known, written: make(map[string]*model.Task, len(plan.Batch.Tasks))}
	for i := range plan.Batch.Tasks {
		c := &plan.Batch.Tasks[i]
		if before := known[c.ID]; before != nil || c.Put != nil {
			rows.written[c.ID] = c.Apply(before)
		}
	}
	out := &Outcome{
		Answers: answers, Tasks: plan.Tasks, Progress: plan.Progress,
		Workers: plan.Workers, Notes: plan.Notes, Ask: plan.Ask, More: plan.More,
	}
	t.pending.apply(plan.Batch.Tasks, rows.written)
	if err := rows.readMissing(ctx, t.store, answers, plan.Assign); err != nil {
		out.Notes = append(out.Notes, engine.Note{Text: "assignments are left to the next heartbeats: " + err.Error()})
	}
	for i := range answers {
		a := &answers[i]
		a.Task = rows.last(a.TaskID)
		if a.Heartbeat != nil {
			a.Heartbeat.Term, a.Heartbeat.Assign = t.lease.Term(), rows.assignments(a.Assign)
		}
	}
	out.Commands = rows.commands(plan)
	out.More = t.setAsideDamaged(rows.damaged) || out.More
	return out
}

// setAsideDamaged sets tasks aside that were assigned although their rows cannot be read as a
// whole. It returns true if that has freed a slot.
func (t *Turn) setAsideDamaged(damaged []*model.Task) (freed bool) {
	var bad badRows
	for _, row := range damaged {
		if t.engine.SetAside(row) {
			bad.add(row.ID, "", row.Damage)
		}
	}
	t.onBadRows(bad)
	return bad.number > 0
}

// rows is the tasks that a turn has at hand, as they are after it.
type rows struct {
	known   map[string]*model.Task // before the turn
	written map[string]*model.Task // by it, nil if it has deleted the task; or read after it
	damaged []*model.Task          // assigned ones that cannot be read as a whole
}

// after returns a task as it is after the turn; nil if the turn has deleted it or it is not at
// hand.
func (r *rows) after(id string) *model.Task {
	if row, ok := r.written[id]; ok {
		return row
	}
	return r.known[id]
}

// last is after, or the task before the turn that has deleted it.
func (r *rows) last(id string) *model.Task { return cmp.Or(r.after(id), r.known[id]) }

// assignment makes what a worker is told of an attempt: without the history, which it does
// not need. false: the row could not be read as a whole, or an event of the same turn has ended the
// attempt.
func (r *rows) assignment(a *engine.Assign) (model.Assignment, bool) {
	row := r.after(a.Task)
	if row == nil || row.Attempt != a.Attempt || row.WorkerID != a.Worker {
		return model.Assignment{}, false
	}
	if row.Damage != "" {
		r.damaged = append(r.damaged, row)
		return model.Assignment{}, false
	}
	if row.History != nil {
		c := *row
		c.History = nil
		row = &c
	}
	return model.Assignment{Task: row, Attempt: a.Attempt, TimeoutLeft: a.TimeoutLeft}, true
}

// readMissing reads in one query what assignments need and is not at hand.
func (r *rows) readMissing(ctx context.Context, store Store, answers []engine.Answer, assign []engine.Assign) error {
	var ids []string
	want := func(list []engine.Assign) {
		for _, a := range list {
			if r.last(a.Task) == nil { // a deleted one is not in the store either
				ids = append(ids, a.Task)
			}
		}
	}
	want(assign)
	for i := range answers {
		want(answers[i].Assign)
	}
	if len(ids) == 0 {
		return nil
	}
	read, err := store.Tasks(ctx, ids)
	for id, row := range read {
		r.written[id] = row
	}
	return err
}

func (r *rows) assignments(list []engine.Assign) []model.Assignment {
	out := make([]model.Assignment, 0, len(list))
	for i := range list {
		if a, ok := r.assignment(&list[i]); ok {
			out = append(out, a)
		}
	}
	return out
}

// commands gathers what the plan tells each worker, in the order in which they
// are first named.
func (r *rows) commands(plan *engine.Plan) []Command {
	var commands []Command
	at := make(map[string]int)
	of := func(worker string) *Command {
		i, ok := at[worker]
		if !ok {
			i = len(commands)
			at[worker] = i
			commands = append(commands, Command{Worker: worker})
		}
		return &commands[i]
	}
	for i := range plan.Assign {
		if a, ok := r.assignment(&plan.Assign[i]); ok {
			c := of(plan.Assign[i].Worker)
			c.Assign = append(c.Assign, a)
		}
	}
	for _, d := range plan.Drop {
		c := of(d.Worker)
		c.Drop = append(c.Drop, d.Drop)
	}
	return commands
}
