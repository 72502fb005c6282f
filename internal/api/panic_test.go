package api

import (
	"strings"
	"testing"

	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/internal/wire"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// TestService_AnswerThatPanicsIs500: the answer is made in a goroutine of the transport;
// a panic there is that request's error.
func TestService_AnswerThatPanicsIs500(t *testing.T) {
	s := New(nil, Options{})
	via := make(answers, 1)
	if !s.enter() {
		t.Fatal("the service stops already")
	}
	c := &call{service: s, from: wire.Sender{Verb: "heartbeat"}, via: via}
	c.replyAsync(func(int) Reply { panic("oh") })
	if r := testbed.Receive(t, via); r.Err == nil || r.Err.Code != model.CodeInternal || !strings.HasPrefix(r.Err.Message, "heartbeat: ") {
		t.Errorf("the answer is %+v", r.Err)
	}
	testbed.Run(t, s.Run) // it ends with the test: the request is answered
}
