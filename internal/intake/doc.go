// Package intake is the durable intake: submissions that wait in a JetStream stream while
// no dispatcher runs. It passes each to a [Backend], publishes the verdict and
// acknowledges the message. A message that can never be accepted becomes a dead letter.
//
// A message goes through these stages:
//
//	fetch        intake.go       a consumer of NATS calls handle; undelivered.go reads the rest
//	admit        intake.go       acquire bounds the messages without a decision, and skips redeliveries
//	decode       verdict.go      read makes a spec, or finds the message invalid
//	submit       intake.go       submit passes it to the Backend, and waits while its inbox is full
//	outcome      outcome.go      the answer decides: accept, retry, park or dead letter
//	divert       dead_letter.go  a parked message or a dead letter is stored at its new place
//	verdict      verdict.go      finish publishes accepted or rejected
//	acknowledge  verdict.go      finish acknowledges last: before that, NATS redelivers
//
// [EnsureStreams] creates and checks the streams of a cluster.
package intake
