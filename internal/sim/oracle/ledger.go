package oracle

import (
	"slices"

	"github.com/aria-cluster/dispatcher/internal/engine"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// entry is what is known of one task: its row in the store, and every word that was
// said about it.
type entry struct {
	id     string
	row    *model.Task // as committed; nil: not there
	acked  bool        // its client was told that it exists
	gone   bool        // deleted at somebody's wish
	goneAt model.Time  // when; 0 = not seen

	moved  bool // imported
	hold   hold
	wishes []submission
	asked  [verbs]int // how often it was asked for, by those who may
	done   [verbs]int
	given  []given
	said   []saying
	failed []int64 // attempts that were counted as failures

	named      int64          // highest attempt that a registered worker has named since the last load
	shunned    []shun         // workers that refused or failed it
	since      model.Time     // when it came to its status
	queuedAt   model.Time     // when something last made it find its place in the queue
	overtaken  map[string]int // by client: tasks that went before it while it waited
	assignedAt model.Time
	listedAt   model.Time // when its holder last spoke of it
	owed       int64      // bytes that its holder has told, and its row does not have yet; 0 = none
	owedSince  model.Time
	stuckSince model.Time // it could have been placed and was not; 0 = it could not
}

type submission struct {
	client string
	hash   model.Hash
}

// given is an attempt that was handed out.
type given struct {
	attempt int64
	worker  string
	url     string // as it was then
}

// saying is all that a worker has said of an attempt.
type saying struct {
	worker  string
	attempt int64
	words   words
}

// shun is a worker that a task was not to go to for a while.
type shun struct {
	worker string
	at     model.Time
}

// words is a set of what a worker can say.
type words uint8

const (
	saidDownloading words = 1 << iota
	saidCompleted
	saidRetryable
	saidPermanent
	saidWorker
	saidRejected

	saidFailed = saidRetryable | saidPermanent | saidWorker
)

// What can be asked for.
const (
	asSubmit = iota
	asCancel
	asPause
	asResume
	asRetry
	asUpdate
	asDelete
	verbs
)

func wordsOf(r *model.Report) words {
	switch r.Status {
	case model.ReportCompleted:
		return saidCompleted
	case model.ReportRejected:
		return saidRejected
	case model.ReportFailed:
		switch r.Error.Class {
		case model.ClassPermanent:
			return saidPermanent
		case model.ClassWorker:
			return saidWorker
		}
		return saidRetryable
	}
	return saidDownloading
}

// hear takes down what a worker says; it may have its effect from now on.
func (e *entry) hear(worker string, r *model.Report) {
	for i := range e.said {
		if s := &e.said[i]; s.worker == worker && s.attempt == r.Attempt {
			s.words |= wordsOf(r)
			return
		}
	}
	e.said = append(e.said, saying{worker, r.Attempt, wordsOf(r)})
}

// has returns what a worker has said of an attempt.
func (e *entry) has(worker string, attempt int64) words {
	for _, s := range e.said {
		if s.worker == worker && s.attempt == attempt {
			return s.words
		}
	}
	return 0
}

// holder returns who was given an attempt, "" if nobody.
func (e *entry) holder(attempt int64) string {
	for _, g := range e.given {
		if g.attempt == attempt {
			return g.worker
		}
	}
	return ""
}

// takenVerb notes what somebody who may asks for.
func (c *Oracle) takenVerb(op engine.Event) {
	if id, client, verb := verbOf(op); id != "" {
		e := c.entry(id)
		if client == "" || e.row == nil || e.row.Client == client {
			e.asked[verb]++
			if changesURL(op) {
				e.asked[asUpdate]++
			}
		}
	}
}

// asked reports whether the turn has an operation of the kind on the task; one that
// has no answer, because the process crashed, may have had its effect.
func (c *Oracle) asked(id string, verb int) bool {
	for _, m := range slices.Concat(c.turn.calls, c.waiting) {
		for _, op := range m.Ops {
			if of, _, v := verbOf(op); of == id && (v == verb || verb == asUpdate && changesURL(op)) {
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
		return op.Spec.ID, op.Client, asSubmit
	case engine.Cancel:
		return op.ID, op.Client, asCancel
	case engine.Pause:
		return op.ID, op.Client, asPause
	case engine.Resume:
		return op.ID, op.Client, asResume
	case engine.Retry:
		return op.ID, op.Client, asRetry
	case engine.Update:
		return op.ID, op.Client, asUpdate
	case engine.Delete:
		return op.ID, op.Client, asDelete
	}
	return "", "", 0
}

// settle takes over what a change made of the task.
func (e *entry) settle(c *Oracle, ch *change) {
	now := c.w.Now()
	a, b := ch.after, ch.before
	if a == nil {
		e.gone, e.goneAt, e.acked = true, now, false
		return
	}
	if b == nil || a.Status != b.Status || a.Attempt != b.Attempt {
		e.since, e.queuedAt, e.stuckSince, e.overtaken = now, now, 0, nil
	}
	if b == nil || a.Status != b.Status || a.Attempt != b.Attempt || a.CompletedLength != b.CompletedLength {
		e.owed = 0
	}
	if a.Status.Terminal() {
		e.named = 0
	}
	if c.asked(e.id, asUpdate) {
		e.queuedAt = now
	}
	if b != nil && a.Error != nil && a.Error != b.Error && a.Error.Class == model.ClassWorker {
		e.shunned = append(e.shunned, shun{a.LastWorkerID, now})
	}
	if b == nil || a.Attempt != b.Attempt {
		e.assignedAt, e.listedAt = now, now
	}
}

// Ledger is what was true of every task at one moment.
type Ledger map[string]*entry

// SaveLedger keeps what is true now, for a backup.
func (c *Oracle) SaveLedger() Ledger {
	kept := make(Ledger, len(c.ledger))
	for id, e := range c.ledger { // in any order: a copy
		if e.row != nil {
			kept[id] = &entry{row: e.row, acked: e.acked, given: slices.Clone(e.given), failed: slices.Clone(e.failed)}
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
	for _, e := range c.order {
		e.goneAt, e.owed = 0, 0 // a backup has no tombstones
		then := ledger[e.id]
		if then == nil {
			e.row, e.acked, e.given, e.failed = nil, false, nil, nil
			continue
		}
		e.row, e.acked, e.gone = then.row, then.acked, false
		c.counts[e.row.Status]++
		e.given, e.failed = then.given, then.failed
		e.since, e.stuckSince = c.w.Now(), 0
	}
}
