package bus

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/aria-cluster/dispatcher/internal/logthrottle"
)

const (
	// replacePatience is how long what is to be sent waits for the replacement of a
	// closed connection, from the moment when it was closed.
	replaceTimeout = 3 * time.Second
	// confirmSize is from how many bytes on an answer is confirmed by a round trip to
	// the server: one above a max_payload that was lowered closes the connection.
	confirmSize    = 16 << 10
	confirmTimeout = 2 * time.Second // bounds this round trip
	// maxSends is how often one message is sent over connections that end under it.
	maxSends = 3

	firstReplace = 50 * time.Millisecond // before a replacement that failed is tried again; doubles up to
	lastReplace  = time.Second
	// steadyTime is how long a connection must have lived for its replacement to be
	// made at once.
	stableTime = 10 * time.Second
)

// Connection is a way to NATS that outlives a single connection. nats.go reconnects
// by itself in most cases, but it closes a connection for good after an error of the
// server that it does not expect, such as a message above a max_payload that a reload
// has lowered, and it presents the nkey with which it first connected. A Connection
// then makes a new one, with the credentials read again, and sets up on it what was
// set up on the one before (see [Connection.Attach]). Requests that wait for an answer
// over the closed connection fail; their answers are not awaited.
//
// It is safe for concurrent use. End it by [Connection.Drain].
type Connection struct {
	options Options
	logger  *slog.Logger
	ctx     context.Context // ends with Drain
	cancel  context.CancelFunc
	ended   chan struct{}   // closed when run has returned
	wake    chan struct{}   // has an element where there may be an attachment to set up
	refused chan *nats.Conn // has the connection with credentials that the server refuses

	mu          sync.Mutex
	nc          *nats.Conn
	ready       bool          // everything is set up on nc
	replaced    chan struct{} // closed when another one takes the place of nc
	closedAt    time.Time     // when nc was found closed
	attachments []*Attachment
}

// OpenConnection connects as [Connect] does, and keeps the connection until Drain.
func OpenConnection(ctx context.Context, o Options) (*Connection, error) {
	c := &Connection{
		options: o, logger: orDiscard(o.Logger), ended: make(chan struct{}),
		wake: make(chan struct{}, 1), refused: make(chan *nats.Conn, 1), replaced: make(chan struct{}),
	}
	var err error
	if c.nc, err = o.connect(ctx, c.onRefused); err != nil {
		return nil, err
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	go c.run()
	return c, nil
}

// Current returns the connection of now. It may be closed a moment later, so it is
// not to be kept.
func (c *Connection) Current() *nats.Conn {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.nc
}

// Check returns nil while the connection is up and everything is set up on it, else
// an error that names its state. It is for health checks.
func (c *Connection) Check() error {
	c.mu.Lock()
	nc, ready := c.nc, c.ready
	c.mu.Unlock()
	if err := CheckConn(nc); err != nil || ready {
		return err
	}
	return errors.New("NATS: the subscriptions are being set up")
}

// Drain ends the connection and what is attached to it, and sends what is still to be
// sent. It returns when the connection is closed, or ctx's error, having closed it the
// hard way.
func (c *Connection) Drain(ctx context.Context) error {
	c.cancel()
	select {
	case <-c.ended:
		return Drain(ctx, c.Current())
	case <-ctx.Done():
		c.Current().Close()
		return fmt.Errorf("draining the connection to NATS: %w", ctx.Err())
	}
}

// Close is Drain without waiting for anything that is still to be sent.
func (c *Connection) Close() {
	c.cancel()
	c.Current().Close() // it may be waited for
	<-c.ended
	c.Current().Close() // it may be another one
}

// Attachment is what is set up on each connection.
type Attachment struct {
	c     *Connection
	setUp func(nc *nats.Conn) error
	first chan error // has the result of the first time

	// Both belong to run.
	on        *nats.Conn // where it is set up
	confirmed bool       // it was set up once
}

// Attach has setUp called with the connection, and with each one that replaces it. It
// makes what ends together with a connection: subscriptions. It is called in one
// goroutine for all attachments, in their order, and must return within seconds. An
// error of the first call detaches it; after a later one the connection is replaced
// again.
func (c *Connection) Attach(setUp func(nc *nats.Conn) error) *Attachment {
	a := &Attachment{c: c, setUp: setUp, first: make(chan error, 1)}
	c.mu.Lock()
	c.attachments = append(c.attachments, a)
	c.ready = false
	c.mu.Unlock()
	select {
	case c.wake <- struct{}{}:
	default: // it is awake already
	}
	return a
}

// Wait returns when setUp was called for the first time, with its error, or ctx's
// error. It is to be called once at most.
func (a *Attachment) Wait(ctx context.Context) error {
	select {
	case err := <-a.first:
		return err
	case <-a.c.ended:
		return nats.ErrConnectionClosed
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Detach ends the calls of setUp; one may still be under way. Calling it again is
// harmless.
func (a *Attachment) Detach() {
	c := a.c
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, other := range c.attachments {
		if other == a {
			c.attachments = append(c.attachments[:i:i], c.attachments[i+1:]...)
			return
		}
	}
}

// onRefused notes that the server refuses the credentials of a connection. nats.go would
// present the same ones for ever.
func (c *Connection) onRefused(nc *nats.Conn) {
	select {
	case c.refused <- nc:
	default: // a replacement is under way
	}
}

// run replaces the connection where that is needed, until Drain.
func (c *Connection) run() {
	defer close(c.ended)
	pause := time.Duration(0)
	for {
		nc, began := c.Current(), time.Now()
		err := c.maintain(nc)
		if c.ctx.Err() != nil {
			return
		}
		c.mu.Lock()
		c.closedAt, c.ready = time.Now(), false
		c.mu.Unlock()
		nc.Close()
		c.logger.Warn("the connection to NATS has ended; making a new one", "error", err)
		if time.Since(began) > stableTime {
			pause = 0
		}
		next := c.redial(&pause)
		if next == nil {
			return
		}
		c.mu.Lock()
		close(c.replaced)
		c.nc, c.replaced, c.closedAt = next, make(chan struct{}), time.Time{}
		c.mu.Unlock()
		c.logger.Info("connected to NATS again", "url", next.ConnectedUrlRedacted(), "max_payload", next.MaxPayload())
	}
}

// maintain sets up what is attached, and returns when the connection cannot be used any
// more, with the reason, or when c ends.
func (c *Connection) maintain(nc *nats.Conn) error {
	closed := nc.StatusChanged(nats.CLOSED)
	defer nc.RemoveStatusListener(closed)
	for {
		if err := c.setUp(nc); err != nil {
			return fmt.Errorf("setting up the subscriptions: %w", err)
		}
		if nc.IsClosed() { // maybe before the listener was there
			return closeReason(nc)
		}
		select {
		case <-c.ctx.Done():
			return nil
		case <-c.wake:
		case <-closed:
			return closeReason(nc)
		case refused := <-c.refused:
			// With several servers, nats.go may have found another one meanwhile.
			if refused == nc && !nc.IsConnected() {
				return fmt.Errorf("the server refuses the credentials, which are read again: %w", closeReason(nc))
			}
		}
	}
}

// closeReason is why a connection has ended.
func closeReason(nc *nats.Conn) error {
	if err := nc.LastError(); err != nil {
		return err
	}
	return nats.ErrConnectionClosed
}

// redial makes a new connection, at once unless the one before did not live
// long, and waits for the server as long as it takes. It returns nil when c ends.
func (c *Connection) redial(pause *time.Duration) *nats.Conn {
	troubles := logthrottle.New(c.logger)
	for {
		select {
		case <-c.ctx.Done():
			return nil
		case <-time.After(*pause):
		}
		*pause = min(max(2**pause, firstReplace), lastReplace)
		nc, err := c.options.dial(c.ctx, c.onRefused)
		if err == nil {
			return nc
		}
		// Also what is no use waiting for at a start: credentials may be rotated, and
		// their files be written, just now.
		if c.ctx.Err() == nil {
			troubles.Warn("no connection to NATS; trying again", "url", c.options.target(), "error", err)
		}
	}
}

// setUp sets up what is attached and is not set up on nc yet.
func (c *Connection) setUp(nc *nats.Conn) error {
	for a := c.nextPending(nc); a != nil; a = c.nextPending(nc) {
		err := a.setUp(nc)
		switch {
		case err == nil:
			a.on = nc
			if !a.confirmed {
				a.confirmed = true
				a.first <- nil
			}
		case a.confirmed || nc.IsClosed():
			return err // it is tried again on the next connection
		default:
			a.Detach()
			a.first <- err
		}
	}
	return nil
}

// nextPending returns the first attachment that is not set up on nc; nil if there is
// none.
func (c *Connection) nextPending(nc *nats.Conn) *Attachment {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, a := range c.attachments {
		if a.on != nc {
			return a
		}
	}
	c.ready = true
	return nil
}

// Send calls publish with the connection, and again with the one that replaces it
// where it was closed meanwhile, but waits for that no longer than replacePatience.
// publish returns how many bytes it has sent. A large message that the server has read
// may be sent twice. Where the connection broke under a large message, that may have
// been for its size: publish is called again once nats.go has reconnected, with the
// limit of the server in force.
func (c *Connection) Send(publish func(nc *nats.Conn) (size int, err error)) error {
	for sends := 1; ; sends++ {
		nc := c.Current()
		reconnects := nc.Stats().Reconnects
		size, err := publish(nc)
		if err == nil && size > confirmSize {
			if err = nc.FlushTimeout(confirmTimeout); errors.Is(err, nats.ErrTimeout) {
				err = nil // a slow server; the message is on its way
			}
		}
		again := errors.Is(err, nats.ErrConnectionClosed) && c.awaitReplacement(nc)
		if !again && size > confirmSize && isBroken(err) {
			again = c.awaitReconnect(nc, reconnects)
		}
		if !again || sends == maxSends {
			return err
		}
	}
}

// isBroken reports whether an error says that the connection ended under a message.
func isBroken(err error) bool {
	var network *net.OpError
	return errors.Is(err, nats.ErrConnectionClosed) || errors.Is(err, io.EOF) || errors.As(err, &network)
}

// awaitReconnect waits until nats.go has reconnected more often than the given number of
// times, or the connection is replaced. It reports whether that has happened.
func (c *Connection) awaitReconnect(nc *nats.Conn, reconnects uint64) bool {
	changes := nc.StatusChanged(nats.CONNECTED, nats.CLOSED)
	defer nc.RemoveStatusListener(changes)
	limit := time.NewTimer(replaceTimeout)
	defer limit.Stop()
	for nc.Stats().Reconnects <= reconnects && !nc.IsClosed() {
		select {
		case <-changes:
		case <-limit.C:
			return false
		case <-c.ctx.Done():
			return false
		}
	}
	return !nc.IsClosed() || c.awaitReplacement(nc)
}

// awaitReplacement waits until a closed connection is replaced. It reports whether
// that has happened.
func (c *Connection) awaitReplacement(nc *nats.Conn) bool {
	c.mu.Lock()
	current, replaced, closedAt := c.nc, c.replaced, c.closedAt
	c.mu.Unlock()
	if current != nc {
		return true
	}
	if !nc.IsClosed() {
		return false // nats.go reconnects; what is told late is no longer true
	}
	patience := replaceTimeout
	if !closedAt.IsZero() {
		patience -= time.Since(closedAt)
	}
	limit := time.NewTimer(patience)
	defer limit.Stop()
	select {
	case <-replaced:
		return true
	case <-limit.C:
	case <-c.ctx.Done():
	}
	return false
}
