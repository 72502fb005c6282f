package oracle

import "github.com/aria-cluster/dispatcher/pkg/model"

// taskHistory is the history of one task: its row in the store, and the messages about
// it.
type taskHistory struct {
	id           string
	row          *model.Task // as committed; nil: not there
	acknowledged bool        // its submit was acknowledged
	deleted      bool        // it was deleted
	deletedAt    model.Time  // when; 0 = not seen

	imported       bool // imported
	hold           hold
	submissions    []submission
	requests       [verbCount]int // number of permitted requests
	effects        [verbCount]int
	assignments    []assignment
	formerAttempts []int64 // attempts of deleted tasks of the same id that their workers may still know
	briefAttempts  []int64 // attempts that were assigned and taken back in one turn, which no row shows
	statements     []statement
	takenBack      int64   // the last attempt that its holder had to drop before it had begun
	failedAttempts []int64 // attempts that were counted as failures
	waitedAttempts []int64 // attempts that ended with a wait that their server asked for
	freeWaits      int     // of these, those that do not count as failures

	maxSeenAttempt int64          // highest attempt that a registered worker has named since the last load
	avoided        []avoidance    // workers that refused or failed it
	doubted        []avoidance    // workers at which it failed, perhaps by their fault, with the end of the backoff
	statusSince    model.Time     // when it came to its status
	queuedAt       model.Time     // when something last made it find its place in the queue
	overtaken      map[string]int // by client: tasks that went before it while it waited
	assignedAt     model.Time
	listedAt       model.Time // when its holder last spoke of it
	omittedAt      model.Time // the first heartbeat since the load, or since it was assigned, in which its holder omitted it; 0 = none
	unsavedLength  int64      // bytes that its holder reported and its row lacks; 0 = none
	unsavedSince   model.Time
	aheadSince     model.Time // its holder has listed it as queued beyond its slots; 0 = it does not
	idleSince      model.Time // it could have been placed and was not; 0 = it could not
}

type submission struct {
	client string
	hash   model.Hash
}

// assignment is an attempt that was handed out.
type assignment struct {
	attempt  int64
	worker   string
	url      string // the one of this assignment
	assigned bool   // a worker got it; otherwise an update of a waiting task raised the number
}

// statement holds the reports of a worker about an attempt.
type statement struct {
	worker  string
	attempt int64
	reports reportSet

	hasBytes bool             // it reported bytes
	waits    []model.Duration // that its server asked for
	message  string           // of the failure that asked
}

// avoidance is a worker that a task was not to go to for a while.
type avoidance struct {
	worker string
	at     model.Time
}

// reportSet is a set of kinds of reports.
type reportSet uint8

const (
	reportedDownloading reportSet = 1 << iota
	reportedCompleted
	reportedRetryable
	reportedPermanent
	reportedWorkerError
	reportedRejected
	reportedQueued

	reportedFailed = reportedRetryable | reportedPermanent | reportedWorkerError
)

func reportKind(r *model.Report) reportSet {
	switch r.Status {
	case model.ReportCompleted:
		return reportedCompleted
	case model.ReportRejected:
		return reportedRejected
	case model.ReportQueued:
		return reportedQueued
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

// record notes a report; it may have an effect from now on.
func (e *taskHistory) record(worker string, r *model.Report) {
	s := e.statementOf(worker, r.Attempt)
	if s == nil {
		e.statements = append(e.statements, statement{worker: worker, attempt: r.Attempt})
		s = &e.statements[len(e.statements)-1]
	}
	s.reports |= reportKind(r)
	s.hasBytes = s.hasBytes || r.CompletedLength > 0 || r.Status == model.ReportCompleted
	s.recordWait(r)
}

// statementOf returns the statement of a worker about an attempt, or nil.
func (e *taskHistory) statementOf(worker string, attempt int64) *statement {
	for i := range e.statements {
		if s := &e.statements[i]; s.worker == worker && s.attempt == attempt {
			return s
		}
	}
	return nil
}

// reported returns the reports of a worker about an attempt.
func (e *taskHistory) reported(worker string, attempt int64) reportSet {
	if s := e.statementOf(worker, attempt); s != nil {
		return s.reports
	}
	return 0
}

// assignee returns the worker that an attempt was assigned to, "" for an unknown attempt.
func (e *taskHistory) assignee(attempt int64) string {
	for _, g := range e.assignments {
		if g.attempt == attempt {
			return g.worker
		}
	}
	return ""
}

// holderReported reports whether the worker that the attempt was assigned to sent one of the reports.
func (e *taskHistory) holderReported(attempt int64, w reportSet) bool {
	holder := e.assignee(attempt)
	return holder != "" && e.reported(holder, attempt)&w != 0
}

// isUntouched reports whether a task that waits has never waited for anything but its
// turn and a slot.
func (c *Oracle) isUntouched(e *taskHistory) bool {
	t := e.row
	return !e.imported && !c.hasCooledDown(e) && t.Attempt == 0 && t.NotBefore == 0 && e.requests[verbUpdate]+e.requests[verbRetry]+e.requests[verbPause] == 0
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
		e.statusSince, e.queuedAt, e.idleSince, e.aheadSince, e.overtaken = now, now, 0, 0, nil
	}
	if b == nil || a.Status != b.Status || a.Attempt != b.Attempt || a.CompletedLength != b.CompletedLength {
		e.unsavedLength = 0
	}
	if a.Status.Terminal() {
		e.maxSeenAttempt = 0
	}
	if c.isRequestedInTurn(e.id, verbUpdate) || b != nil && a.RetryAt != b.RetryAt {
		e.queuedAt = now // a lost worker may report a failure of what is pending already
	}
	if a.Status == model.StatusCompleted && (b == nil || b.Status != a.Status) {
		c.noteEnd(c.worker(a.LastWorkerID), false)
	}
	if b != nil && a.Error != nil && a.Error != b.Error {
		c.noteEnd(c.worker(a.LastWorkerID), true)
		switch {
		case a.Error.Class == model.ClassWorker:
			e.avoided = append(e.avoided, avoidance{a.LastWorkerID, now})
		case a.Status == model.StatusPending: // perhaps the worker's fault
			e.doubted = append(e.doubted, avoidance{a.LastWorkerID, now + max(a.RetryAt-c.world.Wall(), 0)})
		}
	}
	if b == nil || a.Attempt != b.Attempt {
		e.assignedAt, e.listedAt, e.omittedAt = now, now, 0
		if a.WorkerID != "" {
			c.worker(a.WorkerID).assignedAt = now
		}
	}
}

// statusSince is when a task came to its status, be it in this turn.
func (c *Oracle) statusSince(e *taskHistory) model.Time {
	if c.turn.isActive && c.isChangedInTurn(e.id) {
		return c.world.Now()
	}
	return e.statusSince
}

// describeTask describes a row briefly.
func describeTask(t *model.Task) string {
	if t == nil {
		return "none"
	}
	return string(t.Status) + " of " + t.Client
}

// previousAttempt is the attempt before the one that was just given.
func previousAttempt(ch *change) int64 {
	if ch.before == nil {
		return 0
	}
	return ch.before.Attempt
}
