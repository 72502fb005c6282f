// Package memory implements the store in memory. Its data is lost on exit. It is for
// trials, for tests, and for tasks that may be lost.
package memory
