// Package app puts the programs together from their rooms: the dispatcher
// (store, NATS, dispatch, health), a worker node (engine, link, worker), and
// -dev, which is both in one process with a client that submits.
//
// The commands and the end-to-end tests use the same constructors, so that what
// is tested is what runs.
package app
