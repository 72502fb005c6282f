package oracle

import (
	"slices"

	"github.com/aria-cluster/dispatcher/internal/engine"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// taskHistory is what is known of one task: its row in the store, and every word that was
// said about it.
type taskHistory struct {
	id           string
	row          *model.Task // as committed; nil: not there
	acknowledged bool        // its client was told that it exists
	deleted      bool        // deleted at somebody's wish
	deletedAt    model.Time  // when; 0 = not seen

	imported       bool // imported
	hold           hold
	submissions    []submission
	requests       [verbCount]int // how often it was asked for, by those who may
	effects        [verbCount]int
	assignments    []assignment
	statements     []statement
	failedAttempts []int64 // attempts that were counted as failures

	maxSeenAttempt int64          // highest attempt that a registered worker has named since the last load
	avoided        []avoidance    // workers that refused or failed it
	statusSince    model.Time     // when it came to its status
	queuedAt       model.Time     // when something last made it find its place in the queue
	overtaken      map[string]int // by client: tasks that went before it while it waited
	assignedAt     model.Time
	listedAt       model.Time // when its holder last spoke of it
	unsavedLength  int64      // bytes that its holder has told, and its row does not have yet; 0 = none
	unsavedSince   model.Time
	idleSince      model.Time // it could have been placed and was not; 0 = it could not
}

type submission struct {
	client string
	hash   model.Hash
}

// assignment is an attempt that was handed out.
type assignment struct {
	attempt int64
	worker  string
	url     string // as it was then
}

// statement is all that a worker has said of an attempt.
type statement struct {
	worker  string
	attempt int64
	reports reportSet
}

// avoidance is a worker that a task was not to go to for a while.
type avoidance struct {
	worker string
	at     model.Time
}

// reportSet is a set of what a worker can say.
type reportSet uint8

const (
	reportedDownloading reportSet = 1 << iota
	reportedCompleted
	reportedRetryable
	reportedPermanent
	reportedWorkerError
	reportedRejected

	reportedFailed = reportedRetryable | reportedPermanent | reportedWorkerError
)

// What can be asked for.
const (
	verbSubmit = iota
	verbCancel
	verbPause
	verbResume
	verbRetry
	verbUpdate
	verbDelete
	verbCount
)

func reportKind(r *model.Report) reportSet {
	switch r.Status {
	case model.ReportCompleted:
		return reportedCompleted
	case model.ReportRejected:
		return reportedRejected
	case model.ReportFailed:
		switch r.Error.Class {
		case model.ClassPermanent:
			return reportedPermanent
		case model.ClassWorker:
			return reportedWorkerError
		}
		return reportedRetryable
	}
	return reportedDownloading
}

// record takes down what a worker says; it may have its effect from now on.
func (e *taskHistory) record(worker string, r *model.Report) {
	for i := range e.statements {
		if s := &e.statements[i]; s.worker == worker && s.attempt == r.Attempt {
			s.reports |= reportKind(r)
			return
		}
	}
	e.statements = append(e.statements, statement{worker, r.Attempt, reportKind(r)})
}

// reported returns what a worker has said of an attempt.
func (e *taskHistory) reported(worker string, attempt int64) reportSet {
	for _, s := range e.statements {
		if s.worker == worker && s.attempt == attempt {
			return s.reports
		}
	}
	return 0
}

// assignee returns who was given an attempt, "" if nobody.
func (e *taskHistory) assignee(attempt int64) string {
	for _, g := range e.assignments {
		if g.attempt == attempt {
			return g.worker
		}
	}
	return ""
}

// recordVerb notes what somebody who may asks for.
func (c *Oracle) recordVerb(op engine.Event) {
	if id, client, verb := verbOf(op); id != "" {
		e := c.task(id)
		if client == "" || e.row == nil || e.row.Client == client {
			e.requests[verb]++
			if changesURL(op) {
				e.requests[verbUpdate]++
			}
		}
	}
}

// isRequestedInTurn reports whether the turn has an operation of the kind on the task; one that
// has no answer, because the process crashed, may have had its effect.
func (c *Oracle) isRequestedInTurn(id string, verb int) bool {
	for _, m := range slices.Concat(c.turn.messages, c.undecided) {
		for _, op := range m.Ops {
			if of, _, v := verbOf(op); of == id && (v == verb || verb == verbUpdate && changesURL(op)) {
				return true
			}
		}
	}
	return false
}

// changesURL reports whether the operation is a retry that is an update too.
func changesURL(op engine.Event) bool {
	r, ok := op.(engine.Retry)
	return ok && r.URL != ""
}

// verbOf reads an event that acts on a task.
func verbOf(op engine.Event) (id, client string, verb int) {
	switch op := op.(type) {
	case engine.Submit:
		return op.Spec.ID, op.Client, verbSubmit
	case engine.Cancel:
		return op.ID, op.Client, verbCancel
	case engine.Pause:
		return op.ID, op.Client, verbPause
	case engine.Resume:
		return op.ID, op.Client, verbResume
	case engine.Retry:
		return op.ID, op.Client, verbRetry
	case engine.Update:
		return op.ID, op.Client, verbUpdate
	case engine.Delete:
		return op.ID, op.Client, verbDelete
	}
	return "", "", 0
}

// applyChange takes over what a change made of the task.
func (e *taskHistory) applyChange(c *Oracle, ch *change) {
	now := c.world.Now()
	a, b := ch.after, ch.before
	if a == nil {
		e.deleted, e.deletedAt, e.acknowledged = true, now, false
		return
	}
	if b == nil || a.Status != b.Status || a.Attempt != b.Attempt {
		e.statusSince, e.queuedAt, e.idleSince, e.overtaken = now, now, 0, nil
	}
	if b == nil || a.Status != b.Status || a.Attempt != b.Attempt || a.CompletedLength != b.CompletedLength {
		e.unsavedLength = 0
	}
	if a.Status.Terminal() {
		e.maxSeenAttempt = 0
	}
	if c.isRequestedInTurn(e.id, verbUpdate) {
		e.queuedAt = now
	}
	if b != nil && a.Error != nil && a.Error != b.Error && a.Error.Class == model.ClassWorker {
		e.avoided = append(e.avoided, avoidance{a.LastWorkerID, now})
	}
	if b == nil || a.Attempt != b.Attempt {
		e.assignedAt, e.listedAt = now, now
	}
}

// Ledger is what was true of every task at one moment.
type Ledger map[string]*taskHistory

// SaveLedger keeps what is true now, for a backup.
func (c *Oracle) SaveLedger() Ledger {
	kept := make(Ledger, len(c.tasks))
	for id, e := range c.tasks { // in any order: a copy
		if e.row != nil {
			kept[id] = &taskHistory{row: e.row, acknowledged: e.acknowledged, assignments: slices.Clone(e.assignments), failedAttempts: slices.Clone(e.failedAttempts)}
		}
	}
	return kept
}

// RollBack makes the ledger what it was: what came after the backup may be gone.
func (c *Oracle) RollBack(ledger Ledger, workers []*model.Worker) {
	c.counts = make(model.Counts)
	c.workerRows = make(map[string]*model.Worker)
	for _, k := range workers {
		c.workerRows[k.ID] = k
	}
	for _, e := range c.taskOrder {
		e.deletedAt, e.unsavedLength = 0, 0 // a backup has no tombstones
		then := ledger[e.id]
		if then == nil {
			e.row, e.acknowledged, e.assignments, e.failedAttempts = nil, false, nil, nil
			continue
		}
		e.row, e.acknowledged, e.deleted = then.row, then.acknowledged, false
		c.counts[e.row.Status]++
		e.assignments, e.failedAttempts = then.assignments, then.failedAttempts
		e.statusSince, e.idleSince = c.world.Now(), 0
	}
}
