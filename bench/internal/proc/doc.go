// Package proc starts the processes of a benchmark and measures their cost: CPU time
// and memory, of each with its children. It reads /proc, so it is for Linux.
package proc
