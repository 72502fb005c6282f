// Package model defines the data types of the system: tasks, workers, their states, the
// messages of clients and workers, and the error responses.
//
// It validates values. It makes no decisions and stores nothing. All types are plain
// values that are safe to copy. A *[Task] or *[Worker] that has been handed to a store
// is immutable from then on, because readers, snapshots and the dispatcher share it.
// Change a copy instead.
//
// The package imports the standard library only.
package model

//go:generate go run ../../internal/modelgen -root ../..
