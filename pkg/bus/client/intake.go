package client

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/aria-cluster/dispatcher/internal/wire"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// Queue stores one download in the intake, a stream that accepts submissions even while
// no dispatcher runs, and returns its sequence in the stream. It is queued then, and
// not yet accepted: the verdict is a [model.IntakeVerdict] with that sequence, which
// [Client.Watch] receives. A spec with a torrent or metalink is never accepted.
//
// With an id in the spec, Queue may be repeated after an error: the result is one task.
// A [model.Error] is a refusal by the intake itself, such as CodeUnavailable while it
// is full.
func (c *Client) Queue(ctx context.Context, spec *model.TaskSpec) (seq uint64, err error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	m := nats.NewMsg(c.subjects.Intake(c.who))
	if m.Data, err = wire.Encode(spec); err != nil {
		return 0, fmt.Errorf("queue as %s: %w", c.who, err)
	}
	ack, err := c.js.PublishMsg(ctx, m, jetstream.WithExpectStream(c.subjects.StreamName(wire.StreamIntake)), jetstream.WithRetryAttempts(0))
	if err != nil {
		return 0, fmt.Errorf("queue as %s: %w", c.who, refused(err))
	}
	return ack.Sequence, nil
}

// refused converts an error of JetStream into a [model.Error].
func refused(err error) error {
	var api *jetstream.APIError
	if !errors.As(err, &api) {
		return err
	}
	code := model.CodeInternal
	switch api.Code {
	case 400:
		code = model.CodeInvalid
	case 503:
		code = model.CodeUnavailable
	}
	return model.Errorf(code, "the intake: %s", api.Description)
}
