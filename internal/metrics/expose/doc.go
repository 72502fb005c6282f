// Package expose makes the metrics of a program and serves them: what the metrics of the
// dispatcher and of the worker have in common.
package expose
