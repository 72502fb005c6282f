package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
)

// aloneWait is how long CheckAlone waits for other dispatchers to answer.
const aloneWait = time.Second

// CheckAlone returns an error with the other's name when a dispatcher answers on
// this prefix already. Two would share the requests between them by the service's
// queue group, silently, and each know half. Where no service of that name is
// there at all it returns at once, else after a second.
//
// It is a check, not a lock: two that start in the same moment may both pass.
func CheckAlone(ctx context.Context, nc *nats.Conn, prefix string) error {
	ctx, cancel := context.WithTimeout(ctx, aloneWait)
	defer cancel()
	subject, err := micro.ControlSubject(micro.PingVerb, ServiceName, "")
	if err != nil {
		return fmt.Errorf("looking for another dispatcher: %w", err)
	}
	inbox := nc.NewRespInbox()
	sub, err := nc.SubscribeSync(inbox)
	if err != nil {
		return fmt.Errorf("looking for another dispatcher: %w", err)
	}
	defer func() { _ = sub.Unsubscribe() }()
	if err := errors.Join(sub.SetPendingLimits(1024, 1<<20), nc.PublishRequest(subject, inbox, nil)); err != nil {
		return fmt.Errorf("looking for another dispatcher: %w", err)
	}
	for {
		m, err := sub.NextMsgWithContext(ctx)
		switch {
		case errors.Is(err, nats.ErrNoResponders), errors.Is(err, context.DeadlineExceeded):
			return nil
		case err != nil:
			return fmt.Errorf("looking for another dispatcher: %w", err)
		}
		var other micro.Ping
		if json.Unmarshal(m.Data, &other) == nil && other.Metadata[metaPrefix] == prefix {
			return fmt.Errorf("another dispatcher (%s, version %s, service id %s) serves the prefix %s already",
				other.Metadata[metaName], other.Version, other.ID, prefix)
		}
	}
}
