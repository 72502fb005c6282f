package bus

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/aria-cluster/dispatcher/internal/logthrottle"
)

const (
	// replaceTimeout is how long messages wait for the replacement of a closed
	// connection, from the moment of its end.
	replaceTimeout = 3 * time.Second
	// confirmSize is the size at which an answer is confirmed by a round trip to the
	// server: a message above a lowered max_payload closes the connection.
	confirmSize    = 16 << 10
	confirmTimeout = 2 * time.Second // for this round trip
	// maxSends is how often one message is sent if connections end during it.
	maxSends = 3

	firstReplace = 50 * time.Millisecond // until a failed replacement is retried; doubles up to
	lastReplace  = time.Second
	// stableTime is the lifetime of a connection after which its replacement is made at
	// once.
	stableTime = 10 * time.Second
)

// Connection replaces a NATS connection that was closed. nats.go reconnects in most
// cases, but it closes a connection permanently after an unexpected error of the
// server, such as a message above a max_payload that a reload has lowered, and it
// reuses the nkey of its first connect. A Connection then makes a new one, reads the
// credentials again, and sets up its attachments on it (see [Connection.Attach]).
// Requests that wait for an answer over the closed connection fail.
//
// It is safe for concurrent use. End it by [Connection.Drain].
type Connection struct {
	options Options
	logger  *slog.Logger
	ctx     context.Context // ends with Drain
	cancel  context.CancelFunc
	ended   chan struct{}   // closed when run has returned
	wake    chan struct{}   // has an element if there may be an attachment to set up
	refused chan *nats.Conn // has the connection with credentials that the server refuses

	mu          sync.Mutex
	nc          *nats.Conn
	ready       bool          // all attachments are set up on nc
	replaced    chan struct{} // closed when nc is replaced
	closedAt    time.Time     // when nc was found closed
	reconnects  uint64        // those of earlier connections, and their replacements
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

// Current returns the current connection. It may be closed at any time, so it must not
// be stored.
func (c *Connection) Current() *nats.Conn {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.nc
}

// Check returns nil while the connection is up and all attachments are set up on it,
// otherwise an error that names its state. It is for health checks.
func (c *Connection) Check() error {
	c.mu.Lock()
	nc, ready := c.nc, c.ready
	c.mu.Unlock()
	if err := checkConn(nc); err != nil || ready {
		return err
	}
	return errors.New("NATS: the subscriptions are being set up")
}

// Reconnects returns how often the connection was made again, by nats.go or by a
// replacement.
func (c *Connection) Reconnects() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.reconnects + c.nc.Stats().Reconnects
}

// Drain closes the connection and its attachments after its messages are sent. When ctx
// ends first, it closes the connection and returns ctx's error.
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

// Close is Drain without waiting for messages that are not sent yet.
func (c *Connection) Close() {
	c.cancel()
	c.Current().Close() // run may wait for it
	<-c.ended
	c.Current().Close() // run may have replaced it
}

// Attachment is a function that sets up each connection.
type Attachment struct {
	c     *Connection
	setUp func(nc *nats.Conn) error
	first chan error // has the result of the first call

	// Both fields belong to run.
	on        *nats.Conn // the connection on which it is set up
	confirmed bool       // the first call has succeeded
}

// Attach calls setUp with the connection, and with each one that replaces it. setUp
// creates what ends with a connection: subscriptions. It is called in one goroutine for
// all attachments, in their order, and must return within seconds. An error of the
// first call detaches it; after a later error the connection is replaced again.
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

// Wait returns the result of the first call of setUp, or ctx's error. It must be called
// at most once.
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

// Detach ends the calls of setUp; one may still be running. Calling it again is
// harmless.
func (a *Attachment) Detach() {
	c := a.c
	c.mu.Lock()
	defer c.mu.Unlock()
	c.attachments = slices.DeleteFunc(c.attachments, func(other *Attachment) bool { return other == a })
}

// onRefused notes that the server refuses the credentials of a connection. nats.go
// would present the same ones forever.
func (c *Connection) onRefused(nc *nats.Conn) {
	select {
	case c.refused <- nc:
	default: // a replacement is in progress
	}
}

// run replaces the connection when necessary, until Drain.
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
		c.reconnects += nc.Stats().Reconnects + 1
		c.nc, c.replaced, c.closedAt = next, make(chan struct{}), time.Time{}
		c.mu.Unlock()
		c.logger.Info("connected to NATS again", "url", next.ConnectedUrlRedacted(), "max_payload", next.MaxPayload())
	}
}

// maintain sets up the attachments, and returns when the connection is unusable, with
// the reason, or when c ends.
func (c *Connection) maintain(nc *nats.Conn) error {
	closed := nc.StatusChanged(nats.CLOSED)
	defer nc.RemoveStatusListener(closed)
	for {
		if err := c.setUp(nc); err != nil {
			return fmt.Errorf("setting up the subscriptions: %w", err)
		}
		if nc.IsClosed() { // perhaps before the listener was registered
			return closeReason(nc)
		}
		select {
		case <-c.ctx.Done():
			return nil
		case <-c.wake:
		case <-closed:
			return closeReason(nc)
		case refused := <-c.refused:
			// With several servers, nats.go may have reconnected to another one.
			if refused == nc && !nc.IsConnected() {
				return fmt.Errorf("the server refuses the credentials, which are read again: %w", closeReason(nc))
			}
		}
	}
}

// closeReason returns why a connection has ended.
func closeReason(nc *nats.Conn) error {
	if err := nc.LastError(); err != nil {
		return err
	}
	return nats.ErrConnectionClosed
}

// redial makes a new connection, at once unless the previous one was short-lived, and
// retries without limit. It returns nil when c ends.
func (c *Connection) redial(pause *time.Duration) *nats.Conn {
	warnings := logthrottle.New(c.logger)
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
		// Permanent errors are retried too: credentials may be rotated, and their files
		// be written, at this moment.
		if c.ctx.Err() == nil {
			warnings.Warn("no connection to NATS; trying again", "url", c.options.target(), "error", err)
		}
	}
}

// setUp sets up the attachments that are not set up on nc yet.
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
			return err // it is retried on the next connection
		default:
			a.Detach()
			a.first <- err
		}
	}
	return nil
}

// nextPending returns the first attachment that is not set up on nc, or nil.
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

// Send calls publish with the connection, and again with its replacement if it was
// closed; it waits for that no longer than replaceTimeout. publish returns the number
// of bytes that it has sent. A large message may be sent twice. If the connection broke
// during a large message, its size may be the reason: publish is called again after
// nats.go has reconnected, with the current limit of the server.
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

// isBroken reports whether the connection ended during a message.
func isBroken(err error) bool {
	var network *net.OpError
	return errors.Is(err, nats.ErrConnectionClosed) || errors.Is(err, io.EOF) || errors.As(err, &network)
}

// awaitReconnect waits until nats.go has reconnected more often than the given number
// of times, or the connection is replaced. It reports whether that has happened.
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
		return false // nats.go reconnects; a late message would be outdated
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
