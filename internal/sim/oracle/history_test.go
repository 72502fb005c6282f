package oracle

import (
	"fmt"
	"slices"
	"testing"

	"github.com/aria-cluster/dispatcher/internal/dispatch"
	"github.com/aria-cluster/dispatcher/internal/engine"
	"github.com/aria-cluster/dispatcher/internal/engine/placement"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// testCase is one history; violates says whether it violates the invariant of its test.
type testCase struct {
	name     string
	violates bool
	play     func(h *history)
}

// play plays each history from a new dispatcher. One that does not violate the invariant
// must not violate another one either.
func play(t *testing.T, invariant string, cases []testCase) {
	t.Helper()
	seen := make(map[bool]bool)
	for _, c := range cases {
		seen[c.violates] = true
		t.Run(c.name, func(t *testing.T) {
			h := newHistory(t)
			c.play(h)
			want := ""
			if c.violates {
				want = invariant
			}
			if h.violation != want {
				t.Errorf("violation %q (%s), want %q", h.violation, h.text, want)
			}
		})
	}
	if !seen[true] || !seen[false] {
		t.Error("the table lacks a history that holds or one that does not")
	}
}

// history is an oracle with the world and the dispatcher that it judges. The dispatcher
// answers queries by the rows that were committed, after amend.
type history struct {
	*Oracle
	t         testing.TB
	now       model.Time
	turns     int
	connected bool
	seq       int64
	amend     func(answers []engine.Answer)
	violation string // the first
	text      string
}

const testEpoch = model.Time(1_700_000_000_000)

func newHistory(t testing.TB) *history {
	t.Helper()
	h := &history{t: t, now: 100_000, connected: true}
	cfg := &engine.Config{
		MaxAttempts: 3, MaxLosses: 2, RetryBase: model.Seconds(2), RetryDelay: model.Seconds(20),
		HeartbeatInterval: model.Seconds(5), HeartbeatTimeout: model.Seconds(15), MaxPending: 5, RequirementSets: 1000,
		Strategy: placement.StrategyRoundRobin, RetainIDs: model.Seconds(60), ClientPending: 4,
	}
	h.Oracle = New(h, h, "d1", cfg, dispatch.Retention{Completed: model.Seconds(30)})
	h.Started()
	h.turn(h.Loaded)
	h.wait(10_000)
	return h
}

func (h *history) Now() model.Time       { return h.now }
func (h *history) Wall() model.Time      { return testEpoch + h.now }
func (h *history) Turns() int            { return h.turns }
func (h *history) Failed() bool          { return h.violation != "" }
func (h *history) Say(string, ...any)    {}
func (h *history) CountEvent(string)     {}
func (h *history) ImportCommitFailed()   {}
func (h *history) ReloadedInImport()     {}
func (h *history) StartedAt() model.Time { return 0 }
func (h *history) Connected() bool       { return h.connected }

func (h *history) Violate(invariant, format string, args ...any) {
	if h.violation == "" {
		h.violation, h.text = invariant, fmt.Sprintf(format, args...)
	}
}

// Query answers truthfully, unless amend changes it.
func (h *history) Query(events ...engine.Event) ([]engine.Answer, bool) {
	answers := make([]engine.Answer, len(events))
	for i, ev := range events {
		switch ev.(type) {
		case engine.QueryTasks:
			answers[i].Live = h.live()
		case engine.QueryWorkers:
			answers[i].Workers = &model.WorkerPage{Workers: h.workerPage()}
		case engine.QueryStatus:
			answers[i].Status = &model.ClusterStatus{TasksByStatus: h.counts}
		}
	}
	if h.amend != nil {
		h.amend(answers)
	}
	return answers, true
}

func (h *history) live() map[string]model.TaskState {
	live := make(map[string]model.TaskState)
	for _, e := range h.taskOrder {
		if e.row == nil || e.row.Status.Terminal() {
			continue
		}
		state := e.row.TaskState
		if state.Status == model.StatusPending {
			if state.Reason = "waits for a slot"; e.hold == holdUntil {
				state.Reason = reasonHeld
			}
		}
		live[e.id] = state
	}
	return live
}

func (h *history) workerPage() []*model.Worker {
	var page []*model.Worker
	for _, name := range h.workerOrder {
		row := &model.Worker{ID: name}
		for _, e := range h.taskOrder {
			if e.row != nil && e.row.WorkerID == name {
				row.CurrentTasks = append(row.CurrentTasks, e.id)
			}
		}
		if b := h.worker(name).heartbeat; b != nil {
			row.TotalSlots = b.TotalSlots
		}
		used, _ := h.countSlots(h.worker(name))
		row.UsedSlots = min(used, row.TotalSlots)
		page = append(page, row)
	}
	return page
}

// turn plays one turn.
func (h *history) turn(do func()) {
	h.t.Helper()
	h.turns++
	h.BeginTurn()
	do()
	h.EndTurn(true)
}

// fullTurn plays one turn after which everything is compared.
func (h *history) fullTurn() {
	h.turns = 31
	h.turn(func() {})
}

// wait lets turns without messages pass, one a second.
func (h *history) wait(d model.Time) {
	for end := h.now + d; h.now < end; {
		h.now = min(h.now+1000, end)
		h.turn(func() {})
	}
}

// waitHeard lets time pass in which workers send heartbeats.
func (h *history) waitHeard(d model.Time, workers ...string) {
	for end := h.now + d; h.now < end; {
		h.wait(min(4000, end-h.now))
		for _, w := range workers {
			h.heartbeat(w)
		}
	}
}

// row returns a copy of the row of a task.
func (h *history) row(id string) *model.Task {
	row := *h.task(id).row
	return &row
}

// commit commits what change makes of the row of a task, and publishes its event.
func (h *history) commit(id string, change func(t *model.Task)) {
	c := h.commitQuietly(id, change)
	h.TaskEvent(&model.TaskEvent{ID: id, Client: c.Client, Status: c.Status})
}

func (h *history) commitQuietly(id string, change func(t *model.Task)) *model.Task {
	before := h.task(id).row
	c := model.TaskChange{ID: id, From: before.Status, Put: h.row(id)}
	change(c.Put)
	if c.Put.Status.Terminal() && !before.Status.Terminal() {
		c.Put.FinishedAt = h.Wall()
	}
	if c.Put.Status == model.StatusDownloading && c.Put.StartedAt == 0 {
		c.Put.StartedAt = h.Wall()
	}
	h.noteAttempt(before, c.Put)
	h.Committed(&model.Batch{Tasks: []model.TaskChange{c}})
	return c.Put
}

// noteAttempt puts the attempt that a change ends into the history, unless the change did.
func (h *history) noteAttempt(before, after *model.Task) {
	goesOn := after.Status.Active() && after.Attempt == before.Attempt
	if !before.Status.Active() || goesOn || after.Status == model.StatusCompleted || len(after.History) > len(before.History) {
		return
	}
	p := model.PastAttempt{Attempt: before.Attempt, WorkerID: before.WorkerID, AssignedAt: before.AssignedAt, EndedAt: h.Wall(), Outcome: model.OutcomeLost}
	e := h.task(before.ID)
	for _, cause := range []struct {
		applies bool
		outcome model.Outcome
		failed  bool
	}{
		{e.holderReported(before.Attempt, reportedRetryable), model.OutcomeRetryable, true},
		{e.holderReported(before.Attempt, reportedPermanent), model.OutcomePermanent, true},
		{e.holderReported(before.Attempt, reportedWorkerError), model.OutcomeWorker, true},
		{e.holderReported(before.Attempt, reportedRejected), model.OutcomeRejected, true},
		{after.Status == model.StatusCanceled, model.OutcomeCanceled, false},
		{after.Status == model.StatusPaused, model.OutcomePaused, false},
		{h.isRequestedInTurn(before.ID, verbUpdate), model.OutcomeSuperseded, false},
		{after.Failures > before.Failures, model.OutcomeTimeout, true},
	} {
		if cause.applies {
			if p.Outcome = cause.outcome; cause.failed {
				p.Error = retryable()
			}
			break
		}
	}
	after.History = model.AppendAttempt(before.History, p)
}

// remove commits the deletion of a task.
func (h *history) remove(id string) {
	h.Committed(&model.Batch{Tasks: []model.TaskChange{{ID: id, From: h.task(id).row.Status, Delete: true}}})
}

// ask takes a request in and answers it.
func (h *history) ask(op engine.Event, a engine.Answer) {
	h.answer(&Message{Ops: []engine.Event{op}}, a)
}

// tell takes a message of a worker in and answers it.
func (h *history) tell(op engine.Event, a engine.Answer) {
	h.answer(&Message{Ops: []engine.Event{op}, FromWorker: true}, a)
}

func (h *history) answer(m *Message, a engine.Answer) {
	if !slices.Contains(h.undecided, m) {
		h.Received(m)
	}
	m.Answers = []engine.Answer{a}
	h.Answered(m)
}

// refuse returns an answer with an error.
func refuse(code model.Code) engine.Answer {
	return engine.Answer{Err: model.Errorf(code, "refused")}
}
