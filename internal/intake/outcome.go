package intake

import (
	"time"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// outcome is what becomes of a decided message.
type outcome uint8

const (
	outcomeAccept     outcome = iota // the verdict is published, then the message is acknowledged
	outcomeRetry                     // the message is redelivered after a backoff
	outcomeRetryPlace                // a parked message is redelivered once in its place
	outcomePark                      // the message moves behind the parked messages
	outcomeDeadLetter                // the message moves to the dead letters, then as outcomeAccept
)

// maxBugTries limits the deliveries of a message that fails with CodeInternal. The
// cause may be temporary; a permanent one must not block the message forever.
const maxBugTries = 5

// outcome decides what becomes of the message. Limits of the client itself do not hold up
// the messages of other clients: its message is parked. A message that fails because of a
// fault of ours repeatedly becomes a dead letter.
func (d *delivery) outcome() outcome {
	err := d.answer.Err
	switch {
	case err == nil:
		return outcomeAccept
	case err.Code == model.CodeTooMany && err.OfClient && d.msg.parked && d.msg.delivered == 1:
		return outcomeRetryPlace
	case err.Code == model.CodeTooMany && err.OfClient:
		return outcomePark
	case err.Code == model.CodeTooMany, err.Code == model.CodeUnavailable:
		return outcomeRetry
	case err.Code == model.CodeInternal && d.msg.delivered < maxBugTries:
		return outcomeRetry
	}
	return outcomeDeadLetter
}

// backoff is the delay until the redelivery of a message that may be accepted later. It
// is longest for limits and bugs, which last longer than an overload.
func (d *delivery) backoff() time.Duration {
	longest := 5 * time.Second
	if d.answer.Err.Code != model.CodeUnavailable {
		longest = 30 * time.Second
	}
	return min(250*time.Millisecond<<min(d.msg.delivered, 10), longest)
}
