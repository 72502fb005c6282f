// Package node wires a worker: download engine, link to the dispatcher, assignments. It
// links neither a NATS server nor a database.
package node
