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

// Guard dials, but not to refused addresses. Make it with [New].
type Guard struct {
	networks Networks
	resolver *net.Resolver
}

// New makes a guard that allows public addresses and these networks. resolver may
// be nil: then it is the system's.
func New(n Networks, resolver *net.Resolver) *Guard {
	return &Guard{networks: n, resolver: resolver}
}

// Dialer returns a function as [net.Dialer.DialContext] that takes at most timeout
// for a connection. Each address is checked when its socket is about to connect. A
// host with some addresses that are allowed is connected to by these; the error of
// one that has none is a [*RefusedError].
func (g *Guard) Dialer(timeout time.Duration) func(ctx context.Context, network, address string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		host, _, err := net.SplitHostPort(address)
		if err != nil {
			return nil, fmt.Errorf("dial: %w", err)
		}
		var tried atomic.Bool // an address that is allowed; several are dialled at once
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
		if tried.Load() { // another one failed, and may not the next time
			return nil, fmt.Errorf("%s: its address %v is refused, and the others do not answer", host, refused.Addr)
		}
		return nil, refused
	}
}
