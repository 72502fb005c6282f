// Package aria2 downloads with an aria2c that it starts, owns and supervises.
//
// One goroutine keeps the process alive: it starts aria2c with a configuration
// and a secret of its own, talks JSON-RPC to it over one WebSocket, and starts it
// again with a growing delay when it ends. Jobs live in this package; aria2c is a
// cache of them, and whatever a new aria2c lacks is added again by the next Poll.
// Each job's gid is a hash of its task id, so that adding twice finds the first.
//
// What it does not guarantee: aria2 sends no If-Range, so that a file that
// changed upstream between two attempts, at the same length and without a
// checksum in the task, can end as a mix of both.
package aria2
