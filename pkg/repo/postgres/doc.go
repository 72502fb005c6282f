// Package postgres keeps tasks and workers in a PostgreSQL database that dispatchers share:
// one of them, the leader, writes. A commit is one transaction in one round trip; its first
// statement checks that the writer's term is still the current one.
//
// A commit is as durable as the server makes it. With replicas that are not synchronous, a
// failover of PostgreSQL loses the last commits.
package postgres
