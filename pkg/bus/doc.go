// Package bus contains the parts of NATS that a user of this system needs: [Connect]
// and [OpenConnection] make connections from options, [Subjects] builds the subjects of
// a cluster, and [WorkerLink] is a worker's link to the dispatcher. Clients use package
// client; package embedded runs a NATS server inside the process.
package bus
