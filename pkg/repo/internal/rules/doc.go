// Package rules holds what every store does alike: which batches are well
// formed, what a cursor looks like, what a text filter sees, and how many rows a
// page may examine. It has no SQL of one store and no connection.
package rules
