package engine

// Event is one operation on the engine: what a client or an operator asks for
// ([Submit], [Cancel], [Pause], [Resume], [Retry], [Update], [Delete]), what a
// worker sends ([Heartbeat], [Report]), what an operator does with workers
// ([DrainWorker], [ResumeWorker], [RemoveWorker]), the passing of time ([Tick],
// [Expire]), a query ([QueryTasks], [QueryWorkers], [QueryStatus]), or an import
// ([BeginImport], [Import], and [FinishImport] or [AbortImport]). Events are decided in their order.
//
// A kind of event is one file: its fields, its Traits, what it reads and what it
// decides. A field Client is who asks; it is empty for an operator, who may act on all
// tasks.
type Event interface {
	// Traits says how the event is queued and logged.
	Traits() Traits
	// reads appends the ids of the tasks that deciding needs from the store: those that
	// a client names, and those that a worker names and the engine does not hold.
	reads(e *Engine, ids []string) []string
	decide(e *Engine) Answer
}

// Traits is what the caller of the engine needs to know of an event.
type Traits struct {
	Lane    Lane
	Client  string // whose queue it waits in; empty for workers, operators and queries
	Task    string // that it is about, for the log
	Worker  string // in the same way
	Creates string // id of the task that it makes, where the client chose that id
	Bytes   int    // of payload
	Entries int    // of its list; each is looked up
	Query   bool   // it changes nothing
}

// Lane is one of the two ways into a turn. What workers send has its own, so that a
// flood of submits does not make workers seem lost.
type Lane int

// The lanes.
const (
	LaneClients Lane = iota
	LaneWorkers

	Lanes = iota
)
