package bus

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
)

// askTimeout bounds a request whose context has no deadline of its own.
const askTimeout = 10 * time.Second

// Limits of the subscriptions of links and clients.
const (
	hintMsgs  = 8192
	hintBytes = 64 << 20
)

// ask sends a request and decodes the answer into into. An answer that says no is
// a *model.Error; any other error means that nothing is known: the request may
// have been carried out.
func ask(ctx context.Context, nc *nats.Conn, subject string, body []byte, into any) error {
	answer, err := askBody(ctx, nc, subject, body)
	if err != nil {
		return err
	}
	return decodeReply("", "", answer, into)
}

// askBody is ask with the answer as it came.
func askBody(ctx context.Context, nc *nats.Conn, subject string, body []byte) ([]byte, error) {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, askTimeout)
		defer cancel()
	}
	m, err := nc.RequestWithContext(ctx, subject, body)
	if err != nil {
		return nil, fmt.Errorf("request %s: %w", subject, err)
	}
	if code := m.Header.Get(micro.ErrorCodeHeader); code != "" {
		return nil, decodeReply(code, m.Header.Get(micro.ErrorHeader), m.Data, nil)
	}
	return m.Data, nil
}
