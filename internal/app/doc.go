// Package app wires a dispatcher (store, NATS, dispatch, health), and -dev, which is a
// dispatcher and a worker in one process with a client that submits. Package node wires a
// worker, package process has what every program does with its process.
//
// The commands and the end-to-end tests use the same constructors, so that what
// is tested is what runs.
package app
