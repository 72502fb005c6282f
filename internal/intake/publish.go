package intake

import (
	"context"
	"crypto/rand"
	"errors"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// publish stores a message once and returns after the stream's acknowledgement.
func (i *Intake) publish(kind string, m *nats.Msg) error {
	ctx, cancel := context.WithTimeout(context.Background(), streamsTimeout)
	defer cancel()
	on := i.current()
	publish := func() error { return publishOnce(ctx, on.js, i.subjects.StreamName(kind), m) }
	err := publish()
	if errors.Is(err, jetstream.ErrNoStreamResponse) { // the stream was removed
		if err = EnsureStreams(ctx, on.nc, i.options); err == nil {
			err = publish()
		}
	}
	return err
}

// publishOnce stores a message, unless the stream has it already. NATS remembers the
// message ids of a stream over all its publishers, so a duplicate may be the message of a
// client that has used this id: only the stored message itself shows that it is ours.
// If it is not, or is gone, the message is stored under an id that no other publisher can know.
func publishOnce(ctx context.Context, js jetstream.JetStream, stream string, m *nats.Msg) error {
	publish := func() (*jetstream.PubAck, error) {
		return js.PublishMsg(ctx, m, jetstream.WithExpectStream(stream), jetstream.WithRetryAttempts(0))
	}
	ack, err := publish()
	if err != nil || !ack.Duplicate {
		return err
	}
	stored, err := isStoredCopy(ctx, js, stream, ack.Sequence, m)
	if err != nil || stored {
		return err
	}
	m.Header.Set(nats.MsgIdHdr, m.Header.Get(nats.MsgIdHdr)+randomPart+rand.Text())
	_, err = publish()
	return err
}

// isTooLarge reports whether a message was refused because of its size.
func isTooLarge(err error) bool {
	const exceedsMaximum = 10054
	var api *jetstream.APIError
	return errors.Is(err, nats.ErrMaxPayload) || errors.As(err, &api) && api.ErrorCode == exceedsMaximum
}

// randomPart separates a message id from the random text after it.
const randomPart = "~"

// baseID returns a message id without its random part.
func baseID(id string) string {
	id, _, _ = strings.Cut(id, randomPart)
	return id
}

// isStoredCopy reports whether the message with the sequence is a copy of m: it has the
// subject of m, where only the dispatcher publishes, and was in the same place before.
func isStoredCopy(ctx context.Context, js jetstream.JetStream, stream string, seq uint64, m *nats.Msg) (bool, error) {
	s, err := js.Stream(ctx, stream)
	if err != nil {
		return false, err
	}
	stored, err := s.GetMsg(ctx, seq)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return false, nil
	}
	if err != nil || stored.Subject != m.Subject {
		return false, err
	}
	for _, name := range []string{headerOrigin, headerStream, headerSeq, headerTime} {
		if stored.Header.Get(name) != m.Header.Get(name) {
			return false, nil
		}
	}
	return true, nil
}
