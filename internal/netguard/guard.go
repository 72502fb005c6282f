package netguard

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"
	"syscall"
	"time"
)

// Guard dials addresses that it does not refuse. Create it with [New].
type Guard struct {
	networks Networks
	resolver *net.Resolver
	refusals atomic.Int64
}

// New returns a guard that allows public addresses and the networks n. A nil resolver
// means the resolver of the system.
func New(n Networks, resolver *net.Resolver) *Guard {
	return &Guard{networks: n, resolver: resolver}
}

// Dialer returns a function like [net.Dialer.DialContext]. A connection takes at most
// timeout. The guard checks each address when its socket is about to connect, and uses
// the allowed addresses of a host. The error for a host without an allowed address is a
// [*RefusedError].
func (g *Guard) Dialer(timeout time.Duration) func(ctx context.Context, network, address string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		host, _, err := net.SplitHostPort(address)
		if err != nil {
			return nil, fmt.Errorf("dial: %w", err)
		}
		var tried atomic.Bool // an allowed address was dialled; several are dialled at once
		d := net.Dialer{Timeout: timeout, Resolver: g.resolver}
		d.ControlContext = func(_ context.Context, _, address string, _ syscall.RawConn) error {
			to, err := netip.ParseAddrPort(address)
			if err != nil {
				return fmt.Errorf("dial: %w", err)
			}
			if what := g.networks.refusal(to.Addr()); what != "" {
				return &RefusedError{Host: host, Addr: to.Addr().Unmap(), What: what}
			}
			tried.Store(true)
			return nil
		}
		conn, err := d.DialContext(ctx, network, address)
		var refused *RefusedError
		if !errors.As(err, &refused) {
			return conn, err
		}
		if tried.Load() { // an allowed address failed and may answer the next time
			return nil, fmt.Errorf("%s: its address %v is refused, and the others do not answer", host, refused.Addr)
		}
		g.refusals.Add(1)
		return nil, refused
	}
}

// Refusals returns how many connections were refused since the start.
func (g *Guard) Refusals() int64 { return g.refusals.Load() }
