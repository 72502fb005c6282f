// Package client asks for downloads from a Go program: it submits tasks, acts on
// them, and waits for what becomes of them, over a NATS connection of the program's own.
// An [Operator] does so for all clients, and manages workers and dead letters.
// docs/protocol.md says what the dispatcher does.
//
// It links neither a NATS server nor a store.
package client
