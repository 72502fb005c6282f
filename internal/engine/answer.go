package engine

import "github.com/aria-cluster/dispatcher/pkg/model"

// Answer is the answer to one event, from the engine to the code that writes it to the wire.
// The engine keeps no payloads: it sets TaskID and Assign, from which the caller fills
// in Task and Heartbeat.Assign after the commit.
type Answer struct {
	Err *model.Error // the answer to the requester; other fields may be set too

	Existed   bool                   // of Submit: the same task was submitted before
	TaskID    string                 // of Submit and the verbs on tasks: the task to show
	Task      *model.Task            // the same, with its secrets: show Public(). Of Delete: the task before its deletion
	Worker    *model.Worker          // of the verbs on workers, and of QueryWorkers with an ID
	Heartbeat *model.HeartbeatAnswer // of Heartbeat
	Assign    []Assign               // of Heartbeat: its assignments
	Drop      *model.Drop            // of Report, beside a conflict

	Live    map[string]model.TaskState // of QueryTasks
	Workers *model.WorkerPage          // of QueryWorkers
	Status  *model.ClusterStatus       // of QueryStatus
}
