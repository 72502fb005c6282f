// Package queue is what the systems that are compared have in common: the job, how
// it is submitted, and the ledger of what became of each.
package queue
