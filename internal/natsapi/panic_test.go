package natsapi

import (
	"log/slog"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/aria-cluster/dispatcher/internal/api"
	"github.com/aria-cluster/dispatcher/internal/logthrottle"
	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/internal/testbed/testbus"
)

// TestPublisher_MessageThatPanicsIsSkipped: the message is made in the goroutine of the
// outbox; after a panic there, which is counted as a dropped event, the next one is sent.
func TestPublisher_MessageThatPanicsIsSkipped(t *testing.T) {
	out, _ := runOutbox(t)
	p := &Publisher{conn: testbus.Open(t, testbus.StartServer(t).ClientURL()), outbox: out, sendErrors: logthrottle.New(nil), logger: slog.New(slog.DiscardHandler)}
	sent, dropped := make(chan struct{}), make(chan struct{}, 1)
	p.OnEventDropped(func() { dropped <- struct{}{} })
	p.putOr("a", func(*nats.Conn, string) (int, error) { panic("oh") }, p.onDropped)
	p.put("b", func(*nats.Conn, string) (int, error) { close(sent); return 0, nil })
	testbed.Receive(t, sent)
	testbed.Receive(t, dropped)
}

// TestService_PanicBeforeARequestIsReadIsLogged: what a handler does before the request has a
// guard of its own, in the goroutine of a subscription, does not end the process.
func TestService_PanicBeforeARequestIsReadIsLogged(t *testing.T) {
	var log strings.Builder
	s := &Service{logger: slog.New(slog.NewTextHandler(&log, nil))} // without requests, which the handler asks
	s.serve(api.Endpoint{})(nil, nats.NewMsg("aria.v1.req.task.shop.submit"))
	if text := log.String(); !strings.Contains(text, "a request panicked before it was read") || !strings.Contains(text, "subject=aria.v1.req.task.shop.submit") {
		t.Errorf("the log is %q", text)
	}
}
