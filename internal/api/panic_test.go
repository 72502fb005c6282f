package api

import (
	"context"
	"strings"
	"testing"

	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/internal/wire"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// TestService_PanicIs500: a handler panics in the goroutine of the transport, the encoding of
// an answer in another one of the transport, a read in the pool. Each panic is that
// request's error, and the next request is served.
func TestService_PanicIs500(t *testing.T) {
	s := New(nil, Options{})
	testbed.Run(t, s.Run) // it ends with the test: the requests are answered
	for name, handle := range map[string]func(*call){
		"the handler": func(*call) { panic("oh") },
		"the answer":  func(c *call) { c.replyAsync(func(int) Reply { panic("oh") }) },
		"the read":    func(c *call) { c.read(func(context.Context, int) Reply { panic("oh") }) },
	} {
		via := make(answers, 1)
		s.Serve(Endpoint{handle: handle}, wire.Sender{Verb: "heartbeat"}, nil, via)
		if r := testbed.Receive(t, via); r.Err == nil || r.Err.Code != model.CodeInternal || !strings.HasPrefix(r.Err.Message, "heartbeat: ") {
			t.Errorf("%s panics: the answer is %+v", name, r.Err)
		}
	}
}
