// Package wire is what the dispatcher's side of the bus and its clients have in
// common: subjects, and requests with their answers. It links no server, no store and
// no engine, so that a client's program is small.
package wire
