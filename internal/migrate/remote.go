package migrate

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/aria-cluster/dispatcher/internal/transfer"
	"github.com/aria-cluster/dispatcher/pkg/bus"
	"github.com/aria-cluster/dispatcher/pkg/repo"
)

// reachTimeout is how long the NATS server is waited for: a cron job must end.
const reachTimeout = 10 * time.Second

// remote is the store of a running dispatcher, and the connection to it.
type remote struct {
	*transfer.RemoteStore
	nc *nats.Conn
}

var (
	_ repo.Source = remote{}
	_ repo.Target = remote{}
)

// openMemory reaches the store of the running dispatcher: where the configuration
// names no NATS server, the embedded one of a dispatcher on this machine.
func (p *program) openMemory(ctx context.Context) (remote, io.Closer, error) {
	nc, err := p.reach(ctx)
	if err != nil {
		return remote{}, nil, fmt.Errorf("the running dispatcher cannot be reached: %w", err)
	}
	s, err := transfer.NewRemoteStore(nc, p.o.config.NATS.Prefix, p.o.final)
	if err != nil {
		nc.Close()
		return remote{}, nil, err
	}
	return remote{s, nc}, remote{s, nc}, nil
}

// reach connects to NATS.
func (p *program) reach(ctx context.Context) (*nats.Conn, error) {
	c := p.o.config.NATS
	url := string(c.URL)
	if url == "" && c.Context == "" {
		url = "nats://" + c.Listen
	}
	reach, cancel := context.WithTimeout(ctx, reachTimeout)
	defer cancel()
	return bus.Connect(reach, bus.Options{
		URL: url, Context: c.Context, Creds: c.Creds, NKey: c.NKey, User: c.User, Password: string(c.Password),
		Cert: c.Cert, Key: c.Key, CA: c.CA, Name: "aria-migrate", InboxPrefix: c.InboxPrefix, Logger: p.o.logger,
	})
}

// Close ends the connection.
func (r remote) Close() error {
	r.nc.Close()
	return nil
}

// thaw has the dispatcher take writes again after a final copy that failed.
func (r remote) thaw(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), reachTimeout)
	defer cancel()
	return r.Thaw(ctx)
}
