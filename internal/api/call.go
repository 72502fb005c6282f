package api

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/aria-cluster/dispatcher/internal/engine"
	"github.com/aria-cluster/dispatcher/internal/goroutine"
	"github.com/aria-cluster/dispatcher/internal/wire"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// Transport carries the answer of one request.
type Transport interface {
	// Room returns the most bytes that the body of an answer may have now. The spec of a
	// task has the same limit: it must fit into an assignment.
	Room() int
	// SubmitVia returns how the metrics count the tasks that come on this way.
	SubmitVia() engine.Via
	// Wanted reports whether the requester wants an answer.
	Wanted() bool
	// Defer calls send soon, in a goroutine in which it may block. It returns false if
	// too many wait already. The caller waits a moment for that if mayWait is set, and
	// never otherwise.
	Defer(send func(), mayWait bool) bool
	// Send delivers the answer that pack makes for a body of at most room bytes. It may
	// block, and call pack again with another room.
	Send(pack func(room int) Reply)
	// Skip ends a request without an answer; err is nil if none was wanted.
	Skip(err *model.Error)
}

// Traced is a transport that knows the trace of its request.
type Traced interface {
	// Traceparent returns the header of the request.
	Traceparent() string
}

// traceparent returns the trace of a request, "" if it names none in a valid form.
func traceparent(via Transport) string {
	traced, ok := via.(Traced)
	if !ok {
		return ""
	}
	if s := traced.Traceparent(); model.ValidTraceparent(s) {
		return s
	}
	return ""
}

// call is one request.
type call struct {
	service  *Service
	endpoint Endpoint
	began    time.Time
	from     wire.Sender
	data     []byte
	via      Transport
	admitted bool // the limiter has acquired a slot for it
	claimed  atomic.Bool
}

// claim reports whether the request has no answer yet. A bug (a panic after the answer,
// a backend that calls done twice) must not send a second one.
func (c *call) claim() bool { return c.claimed.CompareAndSwap(false, true) }

// handle executes the request, later if its body is large or a large one of its sender waits,
// unless its sender has reached a limit.
func (c *call) handle() {
	err := c.admit()
	switch {
	case err != nil:
	case c.runsAtOnce():
		c.execute()
		return
	case c.service.bodies.put(limitedBy(&c.from), 1+len(c.data)/inlineBody, c.execute):
		return
	default:
		err = errBodies
	}
	if c.endpoint.Verb == verbSubmit {
		c.service.rejected(err.Code)
	}
	c.refuseThrottled(err)
}

// runsAtOnce reports whether the request is small and follows none that waits for a decoder.
// Observers and operators have no names by which one could wait for its own.
func (c *call) runsAtOnce() bool {
	return len(c.data) <= inlineBody && !(c.from.Role.Named() && c.service.bodies.has(limitedBy(&c.from)))
}

// execute passes the request to its endpoint.
func (c *call) execute() {
	if bug := c.guard("a request panicked", func() { c.endpoint.handle(c) }); bug != nil {
		c.reply(refuse(bug))
	}
	c.data = nil // up to a megabyte that is not needed while the answer waits
}

// guard calls do; a panic, which is a bug, is logged and answered with the returned 500.
// It returns nil if do did not panic.
func (c *call) guard(text string, do func()) *model.Error {
	if goroutine.Guard(c.service.logger, text, do, func() []any { return []any{"verb", c.from.Verb, "name", c.from.Name} }) {
		return model.Errorf(model.CodeInternal, "%s: %s", c.from.Verb, goroutine.FaultText)
	}
	return nil
}

// reply answers. Every call is answered exactly once: by reply, replyAsync,
// replyFromLoop or send.
func (c *call) reply(r Reply) { c.replyAsync(func(int) Reply { return r }) }

// replyAsync answers, in another goroutine, with the result of pack for a body of at
// most maxBody bytes. It never blocks: it is for the goroutines of transports.
func (c *call) replyAsync(pack func(room int) Reply) { c.queue(false, pack) }

// replyFromLoop is replyAsync for the goroutine of the backend. It may block for a
// moment when too many answers wait.
func (c *call) replyFromLoop(pack func(room int) Reply) { c.queue(true, pack) }

func (c *call) queue(mayWait bool, pack func(room int) Reply) {
	if !c.claim() {
		return
	}
	ok := c.via.Defer(func() {
		defer c.finish()
		c.send(func(room int) Reply { return c.buildReply(room, pack) })
	}, mayWait)
	if !ok {
		c.skip(errDropped)
	}
}

// buildReply calls pack; a panic becomes a 500.
func (c *call) buildReply(room int, pack func(room int) Reply) (r Reply) {
	if bug := c.guard("an answer panicked", func() { r = pack(room) }); bug != nil {
		return refuse(bug)
	}
	return r
}

// errDropped is the error, in the statistics, of an answer that was not sent.
var errDropped = model.Errorf(model.CodeUnavailable, "the answer was dropped: too many wait to be sent")

// send passes the answer to the transport, and its code to the observer.
func (c *call) send(pack func(room int) Reply) {
	var last *model.Error
	c.via.Send(func(room int) Reply {
		r := pack(room)
		if !c.service.Leads() {
			r = refuse(wire.ErrNotLeader)
		}
		last = r.Err
		return r
	})
	c.observe(last)
}

// skip ends the request without an answer.
func (c *call) skip(err *model.Error) {
	c.via.Skip(err)
	c.observe(err)
	c.finish()
}

func (c *call) observe(err *model.Error) {
	code := model.Code(200)
	if err != nil {
		code = err.Code
	}
	c.service.observe(c.endpoint, code, time.Since(c.began), traceparent(c.via))
}

// read calls fn in the pool of readers, unless the time for reads has passed, and answers
// with its result. When the queue has no room for the sender, it answers 503 at once.
func (c *call) read(fn func(ctx context.Context, room int) Reply) {
	s := c.service
	if !c.via.Wanted() {
		if c.claim() {
			c.skip(nil)
		}
		return
	}
	ctx, cancel := context.WithTimeout(s.readCtx, readTimeout)
	job := func() {
		defer cancel()
		if !c.claim() {
			return
		}
		defer c.finish()
		c.send(func(room int) Reply {
			return c.buildReply(room, func(room int) Reply {
				if ctx.Err() != nil {
					return errorReply(ctx.Err())
				}
				return fn(ctx, room)
			})
		})
	}
	if !s.reads.put(limitedBy(&c.from), 1, job) {
		cancel()
		c.reply(refuse(model.Errorf(model.CodeUnavailable, "%s: too many reads wait already; try again", c.from.Verb)))
	}
}

// errorReply is the answer of a read that failed.
func errorReply(err error) Reply {
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return refuse(model.Errorf(model.CodeUnavailable, "reading took longer than %v; try again", readTimeout))
	}
	return refuse(model.AsError(err))
}
