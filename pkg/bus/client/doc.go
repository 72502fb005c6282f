// Package client asks for downloads from a Go program: it submits tasks, acts on
// them, and hears what becomes of them, over a NATS connection of the program's own.
// docs/protocol.md says what the dispatcher does.
//
// It links neither a NATS server nor a store.
package client
