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

// Queue leaves one download in the intake, a stream that takes submissions also
// while no dispatcher runs, and returns its sequence there. It is queued then, not
// accepted: that is told by a [model.IntakeVerdict] of that sequence, which
// [Client.Watch] hears. A spec with a torrent or metalink in it is never accepted so.
//
// With an id in the spec, Queue may be repeated after an error: it is one task
// however often it was queued. A [model.Error] is the intake's own refusal, such as
// CodeUnavailable while it is full.
func (c *Client) Queue(ctx context.Context, spec *model.TaskSpec) (seq uint64, err error) {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, wire.AskTimeout)
		defer cancel()
	}
	m := nats.NewMsg(c.subjects.Intake(c.name))
	if m.Data, err = wire.Encode(spec); err != nil {
		return 0, fmt.Errorf("queue as %s: %w", c.name, err)
	}
	ack, err := c.js.PublishMsg(ctx, m, jetstream.WithExpectStream(c.subjects.StreamName(wire.StreamIntake)), jetstream.WithRetryAttempts(0))
	if err != nil {
		return 0, fmt.Errorf("queue as %s: %w", c.name, refused(err))
	}
	return ack.Sequence, nil
}

// refused makes a [model.Error] of what JetStream says no with.
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
