// Package oracle checks a dispatcher from outside: the messages that went in and out
// and the writes that its store was given, never the engine's own state.
//
// Each invariant has a name, and docs/simulator.md says what it states. A violation
// is reported to the [World], which stops there.
package oracle
