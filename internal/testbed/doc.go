// Package testbed is what tests of several packages need: programs that may be
// missing, processes, listeners, waiting, logs that are read while they grow, a
// disk that fills up. It imports nothing of pkg, so that every package's
// tests can use it; a NATS server and a whole dispatcher are in the packages below
// it. Only tests may import it.
package testbed
