package bus

import "github.com/aria-cluster/dispatcher/internal/wire"

// DefaultPrefix is the first part of every subject where no other is set.
const DefaultPrefix = wire.DefaultPrefix

// The subjects of a cluster, and who speaks on them. Clients use the same.
type (
	// Subjects builds and reads the subjects of one cluster.
	Subjects = wire.Subjects
	// Sender is what the subject of a request says: who asks, and for what.
	Sender = wire.Sender
	// Role is who a request speaks for.
	Role = wire.Role
)

// The roles of requests.
const (
	RoleTask   = wire.RoleTask   // a client, on its own tasks
	RoleQuery  = wire.RoleQuery  // an observer, who reads everything
	RoleAdmin  = wire.RoleAdmin  // an operator
	RoleWorker = wire.RoleWorker // a worker
)

// NewSubjects checks the prefix: tokens of [A-Za-z0-9_-] with dots between them,
// at most 64 bytes, not beginning with "_" (inboxes do).
func NewSubjects(prefix string) (Subjects, error) { return wire.NewSubjects(prefix) }
