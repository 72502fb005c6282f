// Package intake is the durable intake: submissions that wait in a JetStream stream while
// no dispatcher runs. It passes each to a [Backend], publishes the verdict and
// acknowledges the message. A message that can never be accepted becomes a dead letter.
//
// [EnsureStreams] creates and checks the streams of a cluster.
package intake
