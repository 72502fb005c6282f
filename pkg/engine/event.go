package engine

import "github.com/aria-cluster/dispatcher/pkg/model"

// Event is one operation on the engine: [Submit], [Cancel], [Heartbeat],
// [Report], [Tick], one of the queries, or [Hold], [Import] and [Release]. They are
// decided in the order in which they come.
type Event interface{ isEvent() }

// Submit asks for one download. Its spec has been validated, hashed and has an
// id; the engine puts the defaults and keeps the spec.
type Submit struct {
	Client string
	Spec   *model.TaskSpec
	Hash   model.Hash
	// Chosen says that the client gave the id itself, so that the task may exist
	// already. A generated id is new by construction.
	Chosen bool
}

// Cancel ends a task. Client is who asks; empty for an operator, who may cancel
// everybody's. A task that is canceled already is answered like one that was
// canceled now.
type Cancel struct {
	Client string
	ID     string
}

// Heartbeat is a worker's whole state.
type Heartbeat struct {
	*model.Heartbeat
}

// Report is what a worker says of one attempt.
type Report struct {
	Worker string
	model.Report
}

// Tick lets time pass: workers are lost, backoffs end. It is due each second.
type Tick struct{}

// QueryTasks asks for the live state of tasks: Status and Attempt always; the
// WorkerID and the progress, which the store does not have yet, of those that a
// worker holds; the Reason of those that wait. Ended ones are left out.
type QueryTasks struct{ IDs []string }

// QueryWorkers asks for one page of workers, or, with ID, for one of them.
type QueryWorkers struct {
	ID string
	model.WorkerQuery
}

// QueryStatus asks for the system in a few numbers.
type QueryStatus struct{}

// Import takes over rows of another store: each change is a Put, and From is what
// the caller has just read from the store. Tasks that are to be placed are held
// back until [Release]; a worker that is living here keeps its own row.
type Import struct{ Batch *model.Batch }

// Hold says that an import has begun: nobody is told that a task is unknown.
type Hold struct{}

// Release ends an import: what was held back is placed, and every worker has a
// fresh timeout.
type Release struct{}

func (Submit) isEvent()       {}
func (Import) isEvent()       {}
func (Hold) isEvent()         {}
func (Release) isEvent()      {}
func (Cancel) isEvent()       {}
func (Heartbeat) isEvent()    {}
func (Report) isEvent()       {}
func (Tick) isEvent()         {}
func (QueryTasks) isEvent()   {}
func (QueryWorkers) isEvent() {}
func (QueryStatus) isEvent()  {}
