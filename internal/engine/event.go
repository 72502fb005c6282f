package engine

import "github.com/aria-cluster/dispatcher/pkg/model"

// Event is one operation on the engine: what a client or an operator asks for
// ([Submit], [Cancel], [Pause], [Resume], [Retry], [Update], [Delete]), what a
// worker says ([Heartbeat], [Report]), what an operator does with workers
// ([DrainWorker], [ResumeWorker], [RemoveWorker]), the passing of time ([Tick],
// [Expire]), a query, or an import ([Hold], [Import], and [Release] or
// [Abandon]). They are
// decided in the order in which they come.
//
// Client is who asks; empty for an operator, who may act on everybody's tasks.
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

// Cancel ends a task. One that is canceled already is answered like one that was
// canceled now.
type Cancel struct {
	Client string
	ID     string
}

// Pause holds a task back: its slot is freed, its bytes are kept. One that is
// paused already is answered like one that was paused now.
type Pause struct {
	Client string
	ID     string
}

// Resume lets a paused task go on.
type Resume struct {
	Client string
	ID     string
}

// Retry makes a failed or canceled task pending again, with a URL from that URL; an
// empty one leaves it as it is.
type Retry struct {
	Client string
	ID     string
	URL    string
	// MaxSize bounds the task, see [model.TaskSpec.CheckSize].
	MaxSize int
}

// Update changes a task that is not completed. A failed or canceled one keeps its
// status until a [Retry].
type Update struct {
	Client string
	ID     string
	Change *model.TaskUpdate // validated
}

// Delete forgets a task that has ended; with Files its worker removes the files.
type Delete struct {
	Client string
	ID     string
	Files  bool
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

// DrainWorker has a worker take nothing new.
type DrainWorker struct{ ID string }

// ResumeWorker is the reverse.
type ResumeWorker struct{ ID string }

// RemoveWorker forgets a worker; one that is not offline only with Force.
type RemoveWorker struct {
	ID    string
	Force bool
}

// Tick lets time pass: workers are lost, backoffs end. It is due each second.
type Tick struct{}

// Expire deletes rows whose time is over: changes with Delete, as the store has
// found them just now. Forget has the store forget old tombstones.
type Expire struct {
	Rows   []model.TaskChange
	Forget bool
}

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

// Hold says that an import has begun: no worker is told that a task is unknown. It
// writes nothing, so it needs no turn.
type Hold struct{}

// Release ends an import: its tasks are no longer held back, and every worker has a
// fresh timeout. Tasks that an earlier import has left behind stay held back.
type Release struct {
	Tasks map[string]struct{} // ids of the verified tasks; nil = all that are held back
}

// Abandon ends an import that is not verified: its tasks stay held back until
// another import of the same tasks is released. Like [Hold] it needs no turn.
type Abandon struct{}

func (Submit) isEvent()       {}
func (Cancel) isEvent()       {}
func (Pause) isEvent()        {}
func (Resume) isEvent()       {}
func (Retry) isEvent()        {}
func (Update) isEvent()       {}
func (Delete) isEvent()       {}
func (Heartbeat) isEvent()    {}
func (Report) isEvent()       {}
func (DrainWorker) isEvent()  {}
func (ResumeWorker) isEvent() {}
func (RemoveWorker) isEvent() {}
func (Tick) isEvent()         {}
func (Expire) isEvent()       {}
func (QueryTasks) isEvent()   {}
func (QueryWorkers) isEvent() {}
func (QueryStatus) isEvent()  {}
func (Import) isEvent()       {}
func (Hold) isEvent()         {}
func (Release) isEvent()      {}
func (Abandon) isEvent()      {}
