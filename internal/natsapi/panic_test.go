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
// outbox; after a panic there the next one is sent.
func TestPublisher_MessageThatPanicsIsSkipped(t *testing.T) {
	out, _ := runOutbox(t)
	p := &Publisher{conn: testbus.Open(t, testbus.StartServer(t).ClientURL()), outbox: out, sendErrors: logthrottle.New(nil), logger: slog.New(slog.DiscardHandler)}
	sent := make(chan struct{})
	p.put("a", func(*nats.Conn, string) (int, error) { panic("oh") })
	p.put("b", func(*nats.Conn, string) (int, error) { close(sent); return 0, nil })
	testbed.Receive(t, sent)
}
