package process

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/aria-cluster/dispatcher/internal/config"
	"github.com/aria-cluster/dispatcher/pkg/bus"
)

// StepTimeout limits each step of a program's stop: a step that hangs does not prevent
// the others.
const StepTimeout = 5 * time.Second

// errNoNATS is the error of a start that ended while it waited for the NATS server.
var errNoNATS = errors.New("NATS was not reached")

// StoppedEarly reports whether err is the result of ctx's end during the start, and
// calls say with that.
func StoppedEarly(ctx context.Context, err error, say func(string)) bool {
	if err == nil || ctx.Err() == nil || !errors.Is(err, context.Canceled) {
		return false
	}
	if errors.Is(err, errNoNATS) {
		say("stopped before NATS was reached")
	} else {
		say("stopped before the start was complete")
	}
	return true
}

// ConnectNATS is [bus.OpenConnection] with an error that StoppedEarly recognizes.
func ConnectNATS(ctx context.Context, o bus.Options) (*bus.Connection, error) {
	conn, err := bus.OpenConnection(ctx, o)
	if err != nil && ctx.Err() != nil {
		err = fmt.Errorf("%w: %w", errNoNATS, err)
	}
	return conn, err
}

// NATSOptions converts the configuration of the connection; name is shown in the
// server's lists.
func NATSOptions(c *config.NATS, name string, logger *slog.Logger) bus.Options {
	return bus.Options{
		URL: string(c.URL), Context: c.Context, Creds: c.Creds, NKey: c.NKey, User: c.User, Password: string(c.Password),
		Cert: c.Cert, Key: c.Key, CA: c.CA, Name: name, InboxPrefix: c.InboxPrefix, Logger: logger,
	}
}
