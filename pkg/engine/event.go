package engine

import "github.com/aria-cluster/dispatcher/pkg/model"

// Event is one operation on the engine: one of [Submit], [Cancel], [Heartbeat],
// [Report] and [Tick].
type Event interface{ isEvent() }

// Submit asks for one download. Its spec has been validated, hashed and has an
// id; defaults are put by the engine.
type Submit struct {
	Client string
	Spec   *model.TaskSpec
	Hash   model.Hash
	// Chosen says that the client gave the id itself, so that the task may exist
	// already. A generated id is new by construction.
	Chosen bool
}

// Cancel ends a task. Client is who asks; empty for an operator, who may cancel
// everybody's.
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

// Tick lets time pass: workers are lost, backoffs end.
type Tick struct{}

func (Submit) isEvent()    {}
func (Cancel) isEvent()    {}
func (Heartbeat) isEvent() {}
func (Report) isEvent()    {}
func (Tick) isEvent()      {}
