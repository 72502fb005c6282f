package api

import (
	"context"

	"github.com/aria-cluster/dispatcher/internal/wire"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// DeadLetters are the messages that the intake can never accept; internal/intake
// implements it. Its errors are a [*model.Error].
type DeadLetters interface {
	// List returns one page of a validated query.
	List(ctx context.Context, q *model.DeadLetterQuery) (*model.DeadLetterPage, error)
	// Get returns one dead letter, with its spec.
	Get(ctx context.Context, ref *model.DeadLetterRef) (*model.DeadLetter, error)
	// Resubmit puts one back into the intake, then removes it. After an error of
	// CodeUnavailable it may be repeated: it makes no second task.
	Resubmit(ctx context.Context, ref *model.DeadLetterRef) (*model.DeadLetter, error)
	// Delete removes one.
	Delete(ctx context.Context, ref *model.DeadLetterRef) (*model.DeadLetter, error)
}

var errNoJetStream = model.Errorf(model.CodeUnavailable, "dlq: this dispatcher has no intake; dead letters need JetStream and intake.enabled")

// decodeDeadLetters decodes a request about dead letters. It refuses one that is invalid,
// and each without an intake; it then returns nil.
func decodeDeadLetters[Q any](c *call, decode func([]byte) (*Q, *model.Error)) *Q {
	q, err := decode(c.data)
	if err == nil && c.service.deadLetters == nil {
		err = errNoJetStream
	}
	if err != nil {
		c.reply(refuse(err))
		return nil
	}
	return q
}

func (c *call) listDeadLetters() {
	q := decodeDeadLetters(c, wire.DecodeDeadLetters)
	if q == nil {
		return
	}
	c.read(func(ctx context.Context, room int) Reply {
		return page("dead_letters", q.Limit, room, func(limit int) ([][]byte, string, error) {
			ask := *q
			ask.Limit = limit
			p, err := c.service.deadLetters.List(ctx, &ask)
			if err != nil {
				return nil, "", err
			}
			rows, err := encodeRows(p.DeadLetters, func(l *model.DeadLetter) ([]byte, error) { return wire.Encode(l) })
			return rows, p.Next, err
		})
	})
}

// deadLetterVerb returns the handler of a verb that acts on one dead letter.
func deadLetterVerb(act func(DeadLetters, context.Context, *model.DeadLetterRef) (*model.DeadLetter, error)) func(*call) {
	return func(c *call) {
		ref := decodeDeadLetters(c, wire.DecodeDeadLetterRef)
		if ref == nil {
			return
		}
		var pack func(room int) Reply
		c.read(func(ctx context.Context, room int) Reply {
			if pack == nil { // for another connection it is packed again, not carried out again
				pack = deadLetterReply(act(c.service.deadLetters, ctx, ref))
			}
			return pack(room)
		})
	}
}

// deadLetterReply answers with one dead letter, without its spec if that does not fit.
func deadLetterReply(letter *model.DeadLetter, err error) func(room int) Reply {
	return func(room int) Reply {
		if err != nil {
			return errorReply(err)
		}
		r := answer(letter)
		if len(r.Body) > room {
			letter.Spec = nil
			r = answer(letter)
		}
		return r
	}
}
