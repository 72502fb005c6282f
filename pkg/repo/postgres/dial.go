package postgres

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	// connectTimeout bounds the attempt at one host.
	connectTimeout = 5 * time.Second
	// deadAfter is when a connection counts as dead whose data are not acknowledged. It
	// is shorter than the timeouts of reads and commits.
	deadAfter = 5 * time.Second
)

// errNoCancel is the error of each attempt to send a cancel request of a session that commits.
var errNoCancel = errors.New("a commit is never canceled")

// dialer connects to PostgreSQL. After lock it connects no more: pgx would send a cancel
// request for a connection that it closes, and a COMMIT that waits for a synchronous
// standby and is canceled stays committed on this server alone.
type dialer struct{ locked atomic.Bool }

func (d *dialer) lock() { d.locked.Store(true) }

func (d *dialer) dial(ctx context.Context, network, address string) (net.Conn, error) {
	if d.locked.Load() {
		return nil, errNoCancel
	}
	n := net.Dialer{
		Timeout:         connectTimeout,
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: deadAfter, Interval: time.Second, Count: 3},
		Control: func(network, _ string, raw syscall.RawConn) error {
			if !strings.HasPrefix(network, "tcp") {
				return nil
			}
			return setUserTimeout(raw, deadAfter)
		},
	}
	return n.DialContext(ctx, network, address)
}
