// Package model holds the words of the system: tasks, workers, their states,
// what clients and workers say about them, and the errors that answer them.
//
// It decides nothing and stores nothing; it knows what a legal value is.
// Everything here is a plain value that is safe to copy. A *[Task] or *[Worker]
// that has been handed to a store is immutable from then on: readers, snapshots
// and the dispatcher share it, so a change is made on a copy.
//
// The package imports the standard library only.
package model

//go:generate go run ../../internal/modelgen -root ../..
