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
func (m *connMonitor) Run(ctx context.Context) error {
	goroutine.Every(ctx, m.every, func(ctx context.Context) {
		try, cancel := context.WithTimeout(ctx, m.every)
		defer cancel()
		if m.conn.Current().FlushWithContext(try) == nil {
			m.last.Store(int64(time.Since(m.began)))
		}
	})
	return nil
}

// healthy reports whether there is a connection and the server has answered in the last few
// seconds.
func (m *connMonitor) healthy() bool { return m.conn.Check() == nil && !m.lost() }

// lost reports whether the server has not answered for a few seconds. A connection that
// moves to another server of a cluster is not lost.
func (m *connMonitor) lost() bool {
	return time.Since(m.began)-time.Duration(m.last.Load()) >= 3*m.every
}
