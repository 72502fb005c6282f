// Package ariatop is the screen of "aria top": live tables of workers and tasks, with
// keys that act on them; and one frame of it without a terminal.
//
// It holds one page of each table, whatever their number in the cluster, and reads both
// again a second after the last answer, later if the dispatcher is slow. Progress is
// part of these pages. Sorting by a column sorts the page. Text of servers and of other
// clients is cleaned before it is drawn.
package ariatop
