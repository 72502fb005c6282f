package api

import (
	"context"

	"github.com/aria-cluster/dispatcher/internal/engine"
	"github.com/aria-cluster/dispatcher/internal/wire"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// Caller is a transport inside this process.
type Caller struct {
	Submits     engine.Via // how the metrics count tasks that it submits
	Traceparent string     // of the request; ignored if it is not valid
	Room        int        // the most bytes that the answer, or the assignment of a submitted task, may have
}

// Ask performs one request and waits for its answer. If ctx ends first, the request is
// executed all the same and its answer is lost.
func (s *Service) Ask(ctx context.Context, e Endpoint, from wire.Sender, body []byte, by Caller) (Reply, error) {
	a := &asked{by: by, answer: make(chan Reply, 1)}
	s.Serve(e, from, body, a)
	select {
	case r := <-a.answer:
		return r, nil
	case <-ctx.Done():
		return Reply{}, ctx.Err()
	}
}

// asked carries the answer to a goroutine that waits for it.
type asked struct {
	by     Caller
	answer chan Reply
}

func (a *asked) SubmitVia() engine.Via { return a.by.Submits }

// Traceparent implements [Traced].
func (a *asked) Traceparent() string { return a.by.Traceparent }

func (a *asked) Room() int { return a.by.Room }

func (a *asked) Wanted() bool { return true }

// Defer spares the goroutine of the backend the encoding.
func (a *asked) Defer(send func(), _ bool) bool {
	go send()
	return true
}

func (a *asked) Send(pack func(room int) Reply) { a.answer <- pack(a.by.Room) }

func (a *asked) Skip(err *model.Error) {
	if err == nil {
		err = wire.ErrNoAnswer
	}
	a.answer <- refuse(err)
}
