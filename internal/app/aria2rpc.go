package app

import (
	"context"
	"net/http"
	"sync/atomic"

	"github.com/aria-cluster/dispatcher/internal/api"
	"github.com/aria-cluster/dispatcher/internal/aria2rpc"
	"github.com/aria-cluster/dispatcher/internal/config"
	"github.com/aria-cluster/dispatcher/internal/engine"
	"github.com/aria-cluster/dispatcher/internal/httpd"
	"github.com/aria-cluster/dispatcher/internal/wire"
	"github.com/aria-cluster/dispatcher/pkg/bus"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// rpcBackend is the dispatcher as the aria2 endpoint sees it: requests pass through the
// same service as those over NATS.
type rpcBackend struct {
	*currentDispatcher
	requests  *atomic.Pointer[api.Service] // nil until the daemon runs
	conn      *bus.Connection
	endpoints map[string]api.Endpoint // of clients, by verb
}

func newRPCBackend(conn *bus.Connection, current *currentDispatcher, requests *atomic.Pointer[api.Service]) *rpcBackend {
	b := &rpcBackend{currentDispatcher: current, conn: conn, requests: requests, endpoints: make(map[string]api.Endpoint)}
	for _, e := range api.Endpoints() {
		if e.Role == wire.RoleTask {
			b.endpoints[e.Verb] = e
		}
	}
	return b
}

// Call implements [aria2rpc.Backend].
func (b *rpcBackend) Call(ctx context.Context, client, verb string, body []byte) ([]byte, error) {
	requests := b.requests.Load()
	if requests == nil {
		return nil, model.Errorf(model.CodeUnavailable, "the dispatcher is starting: try again")
	}
	from := wire.Sender{Role: wire.RoleTask, Name: client, Verb: verb}
	r, err := requests.Ask(ctx, b.endpoints[verb], from, body, api.Caller{Submits: engine.ViaRPC, Room: wire.MaxBody(b.conn.Current())})
	switch {
	case err != nil:
		return nil, model.Errorf(model.CodeUnavailable, "%s: no answer in time: try again", verb)
	case r.Err != nil:
		return nil, r.Err
	}
	return r.Body, nil
}

// openAria2 makes the aria2 endpoint, unless it is not configured.
func (d *Daemon) openAria2() error {
	c := &d.cfg.Aria2RPC
	if c.SecretsFile == "" {
		return nil
	}
	secrets, err := aria2rpc.ReadSecrets(c.SecretsFile)
	if err != nil {
		return &config.Error{Key: "aria2_rpc.secrets_file", Text: err.Error()}
	}
	d.rpc = newRPCBackend(d.conn, &d.current, &d.requests)
	proxies, err := d.cfg.HTTP.Proxies()
	if err != nil {
		return &config.Error{Key: "http.trusted_proxies", Text: err.Error()}
	}
	d.aria2 = aria2rpc.New(aria2rpc.Options{
		Backend: d.rpc, Secrets: secrets, AllowOrigins: c.AllowOrigins, Logger: d.logger,
		Address: func(r *http.Request) string { return httpd.ClientNetwork(r, proxies) },
	})
	return nil
}
