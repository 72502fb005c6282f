package client

import (
	"context"
	"iter"

	"github.com/aria-cluster/dispatcher/internal/wire"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// DeadLetters returns one page of dead letters, the oldest first. [Operator.AllDeadLetters]
// reads all pages. A NATS server without JetStream is [ErrTryAgain], as in the other
// methods about dead letters.
func (o *Operator) DeadLetters(ctx context.Context, q model.DeadLetterQuery) (*model.DeadLetterPage, error) {
	var page model.DeadLetterPage
	if err := o.ask(ctx, wire.Sender{Role: wire.RoleAdmin, Verb: "dlq.list"}, q, &page); err != nil {
		return nil, err
	}
	return &page, nil
}

// AllDeadLetters returns all dead letters of the query, page by page. It ends after the
// first error.
func (o *Operator) AllDeadLetters(ctx context.Context, q model.DeadLetterQuery) iter.Seq2[*model.DeadLetter, error] {
	return func(yield func(*model.DeadLetter, error) bool) {
		for {
			page, err := o.DeadLetters(ctx, q)
			if err != nil {
				yield(nil, err)
				return
			}
			for _, letter := range page.DeadLetters {
				if !yield(letter, nil) {
					return
				}
			}
			if page.Next == "" {
				return
			}
			q.Cursor = page.Next
		}
	}
}

// DeadLetter returns one dead letter with what can be read of its spec.
func (o *Operator) DeadLetter(ctx context.Context, ref model.DeadLetterRef) (*model.DeadLetter, error) {
	return o.deadLetter(ctx, "dlq.get", ref)
}

// ResubmitDeadLetter puts a dead letter into the intake again, deletes it, and returns it.
// Whether it is accepted then is the message of a [model.IntakeVerdict].
func (o *Operator) ResubmitDeadLetter(ctx context.Context, ref model.DeadLetterRef) (*model.DeadLetter, error) {
	return o.deadLetter(ctx, "dlq.resubmit", ref)
}

// DeleteDeadLetter deletes a dead letter and returns it.
func (o *Operator) DeleteDeadLetter(ctx context.Context, ref model.DeadLetterRef) (*model.DeadLetter, error) {
	return o.deadLetter(ctx, "dlq.delete", ref)
}

// deadLetter sends a request about one dead letter and returns the dead letter.
func (o *Operator) deadLetter(ctx context.Context, verb string, ref model.DeadLetterRef) (*model.DeadLetter, error) {
	var letter model.DeadLetter
	if err := o.ask(ctx, wire.Sender{Role: wire.RoleAdmin, Verb: verb}, ref, &letter); err != nil {
		return nil, err
	}
	return &letter, nil
}
