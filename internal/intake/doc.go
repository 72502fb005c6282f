// Package intake is the durable intake: submissions that wait in a JetStream stream while
// no dispatcher runs. It passes each to a [Backend], publishes the verdict and
// acknowledges the message. A message that can never be accepted becomes a dead letter.
//
// A message passes the stages of pipeline.go in order:
//
//	fetch   reads what a consumer of NATS delivers; undelivered.go reads the rest
//	admit   bounds the messages without a decision, and skips redeliveries
//	decode  makes a spec, or finds the message invalid (decode.go)
//	submit  passes it to the Backend, and waits while its inbox is full
//	settle  publishes the verdict and acknowledges last (settle.go): before that, NATS
//	        redelivers. It changes only a message that it has looked up (lookup.go). The
//	        answer decides between accept, retry, park and dead letter (outcome.go)
//
// [EnsureStreams] creates and checks the streams of a cluster.
package intake
