// Package world is a seeded world of clients, workers, network and stores around the
// dispatcher's own loop ([dispatch.Stepper]), with more faults than production has.
//
// There is one goroutine, one agenda of planned steps, virtual time, and random
// numbers that come from the seed alone: a seed gives the same run each time. The trace
// of a run is hashed, so that anything that depends on something else is found.
//
// After each turn the oracle checks the messages and the writes to the store.
//
// A run has a fault phase and then a settling phase, in which each acknowledged task
// must reach its end.
package world
