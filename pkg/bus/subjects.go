package bus

import "github.com/aria-cluster/dispatcher/internal/wire"

// DefaultPrefix is the default of nats.prefix, with which every subject begins.
const DefaultPrefix = wire.DefaultPrefix

// The subjects of a cluster, and their senders.
type (
	// Subjects builds and reads the subjects of one cluster.
	Subjects = wire.Subjects
	// Sender is the requester and the verb that the subject of a request names.
	Sender = wire.Sender
	// Role is the kind of requester.
	Role = wire.Role
)

// The roles of requests.
const (
	RoleTask   = wire.RoleTask   // a client, on its own tasks
	RoleQuery  = wire.RoleQuery  // an observer that reads everything
	RoleAdmin  = wire.RoleAdmin  // an operator
	RoleWorker = wire.RoleWorker // a worker
)

// NewSubjects checks the prefix: tokens of [A-Za-z0-9_-] with dots between them,
// at most 64 bytes, not beginning with "_" (inboxes do).
func NewSubjects(prefix string) (Subjects, error) { return wire.NewSubjects(prefix) }
