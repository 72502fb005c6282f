// Package dispatch runs the turns: it takes a batch of operations, the engine decides on
// them, one commit stores the decisions, and only then answers, assignments and events
// are sent.
//
// [Turn] is one such step and has no goroutine and no clock: the simulator can
// call it as the daemon does. [Dispatcher] is the loop around it with the bounded
// inbox. While one commit is under way the next batch gathers by itself: that is
// the group commit. There is no timer, so an idle system answers at once.
package dispatch
