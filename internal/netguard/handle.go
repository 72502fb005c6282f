package netguard

import (
	"context"
	"fmt"
	"net"
	"net/http"
)

// Handle has a handler of this process answer what users request over HTTP from an address
// (host:port). The address is neither resolved nor dialled, and no other program of the
// machine reaches the handler. It must be called before a user is admitted.
func (p *Proxy) Handle(address string, h http.Handler) {
	inside := &pipes{life: p.life, conns: make(chan net.Conn)}
	server := &http.Server{Handler: h, ReadHeaderTimeout: authTimeout}
	p.handled[address] = inside
	p.running.Go(func() { _ = server.Serve(inside) }) // it ends with Close, and with an error that says so
	context.AfterFunc(p.life, func() { _ = server.Close() })
}

// pipes is a listener for connections from inside of this process.
type pipes struct {
	life  context.Context
	conns chan net.Conn
}

// dial returns one end of a connection. The other end is accepted.
func (l *pipes) dial() (net.Conn, error) {
	near, far := net.Pipe()
	select {
	case l.conns <- far:
		return near, nil
	case <-l.life.Done():
		return nil, fmt.Errorf("connect: %w", l.life.Err())
	}
}

// Accept implements [net.Listener].
func (l *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.life.Done():
		return nil, net.ErrClosed
	}
}

// Close implements [net.Listener]: it is the end of the proxy that closes.
func (l *pipes) Close() error { return nil }

// Addr implements [net.Listener].
func (l *pipes) Addr() net.Addr { return pipeAddr{} }

type pipeAddr struct{}

func (pipeAddr) Network() string { return "pipe" }
func (pipeAddr) String() string  { return "pipe" }
