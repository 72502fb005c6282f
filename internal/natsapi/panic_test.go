package natsapi

import (
	"cmp"
	"log/slog"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/aria-cluster/dispatcher/internal/logthrottle"
	"github.com/aria-cluster/dispatcher/internal/testbed/testbus"
	"github.com/aria-cluster/dispatcher/internal/wire"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// TestService_AnswerThatPanicsIs500: the answer is made in the goroutine of the
// outbox; a panic there is that request's error, and the next one is answered.
func TestService_AnswerThatPanicsIs500(t *testing.T) {
	s := &Service{logger: cmp.Or(nil, slog.New(slog.DiscardHandler))}
	c := &call{service: s, from: wire.Sender{Verb: "heartbeat"}}
	r := c.buildReply(maxBody, func(int) reply { panic("oh") })
	if r.err == nil || r.err.Code != model.CodeInternal || !strings.HasPrefix(r.err.Message, "heartbeat: ") {
		t.Errorf("the answer is %+v", r.err)
	}
	out := newOutbox()
	p := &Publisher{conn: testbus.Open(t, testbus.StartServer(t).ClientURL()), outbox: out, sendErrors: logthrottle.New(nil), logger: slog.New(slog.DiscardHandler)}
	sent := make(chan struct{})
	p.put("a", func(*nats.Conn, string) (int, error) { panic("oh") })
	p.put("b", func(*nats.Conn, string) (int, error) { close(sent); return 0, nil })
	<-sent
}
