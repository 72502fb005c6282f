// Package sqlite implements the store in one SQLite file: WAL, one writer connection,
// several read-only ones, each commit one transaction that is on the disk when it
// returns.
//
// The file belongs to one process at a time: a lock beside it refuses a second
// one. Its schema is brought up to date when it is opened; a file of a newer
// schema, or one that is not ours, is refused and left unchanged.
package sqlite
