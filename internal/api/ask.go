package api

import (
	"context"

	"github.com/aria-cluster/dispatcher/internal/engine"
	"github.com/aria-cluster/dispatcher/internal/wire"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// Ask performs one request for a caller in this process and waits for its answer. submits
// is how the metrics count tasks that it submits. room is the most bytes that the answer, or the assignment of a submitted task, may have. If
// ctx ends first, the request is executed all the same and its answer is lost.
func (s *Service) Ask(ctx context.Context, e Endpoint, from wire.Sender, body []byte, submits engine.Via, room int) (Reply, error) {
	a := &asked{room: room, submits: submits, answer: make(chan Reply, 1)}
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
	room    int
	submits engine.Via
	answer  chan Reply
}

func (a *asked) SubmitVia() engine.Via { return a.submits }

func (a *asked) Room() int { return a.room }

func (a *asked) Wanted() bool { return true }

// Defer spares the goroutine of the backend the encoding.
func (a *asked) Defer(send func(), _ bool) bool {
	go send()
	return true
}

func (a *asked) Send(pack func(room int) Reply) { a.answer <- pack(a.room) }

func (a *asked) Skip(err *model.Error) {
	if err == nil {
		err = wire.ErrNoAnswer
	}
	a.answer <- refuse(err)
}
