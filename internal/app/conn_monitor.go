package app

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/aria-cluster/dispatcher/internal/goroutine"
	"github.com/aria-cluster/dispatcher/pkg/bus"
)

// connCheckInterval is the time between two round trips to the NATS server; the last
// answer may be three times as old. nats.go itself detects a dead peer only after a
// minute, in which silent workers would be marked offline.
const connCheckInterval = 2 * time.Second

// connMonitor checks whether the NATS server answers.
type connMonitor struct {
	conn  *bus.Connection
	every time.Duration
	began time.Time
	last  atomic.Int64 // time of the last answer, in nanoseconds since began
}

func newConnMonitor(conn *bus.Connection, every time.Duration) *connMonitor {
	return &connMonitor{conn: conn, every: every, began: time.Now()}
}

// Run checks until ctx ends.
func (p *connMonitor) Run(ctx context.Context) error {
	goroutine.Every(ctx, p.every, func(ctx context.Context) {
		try, cancel := context.WithTimeout(ctx, p.every)
		defer cancel()
		if p.conn.Current().FlushWithContext(try) == nil {
			p.last.Store(int64(time.Since(p.began)))
		}
	})
	return nil
}

// healthy reports whether there is a connection and the server has answered in the last few
// seconds.
func (p *connMonitor) healthy() bool { return p.conn.Check() == nil && !p.lost() }

// lost reports whether the server has not answered for a few seconds. A connection that
// moves to another server of a cluster is not lost.
func (p *connMonitor) lost() bool {
	return time.Since(p.began)-time.Duration(p.last.Load()) >= 3*p.every
}
