// Package dispatch runs the walk: operations come in, the engine decides on a
// batch of them, one commit makes it true, and only then answers, assignments and
// events leave.
//
// [Turn] is one such step and has no goroutine and no clock: the simulator can
// call it as the daemon does. [Dispatcher] is the loop around it with the bounded
// inbox. While one commit is under way the next batch gathers by itself: that is
// the group commit; there is no timer, and an idle system answers at once.
package dispatch
