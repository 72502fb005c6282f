// Package wire is what goes over NATS: subjects, and the encoding and decoding of requests,
// answers, commands and events. Dispatcher, workers and clients use it. It links no server,
// no store and no engine, so that a client's program is small.
//
// Decoders never panic and never keep more than they were sent.
package wire
