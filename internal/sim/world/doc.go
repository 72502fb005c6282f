// Package world is a seeded world of clients, workers, network and stores round the
// dispatcher's own loop ([dispatch.Manual]), with more bad luck than production
// will ever see.
//
// One goroutine, one queue of things to come, virtual time and numbers drawn from
// the seed alone: a seed is a story that is told again word by word. The trace of
// all words is hashed, so that anything which is left to chance shows.
//
// What must hold is checked after every turn by what went over the wire and what
// the store was given, never by the engine's own books; see the files check*.go and
// replay.go. Each invariant has a name, and docs/simulator.md says what it is; the
// bugs under campaign/testdata/bugs show that they can fail.
//
// A story has a time of trouble and then a calm, in which everything that was
// acknowledged has to come to its end.
package world
