package natsapi

import (
	"log/slog"
	"testing"

	"github.com/nats-io/nats.go"

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
