package netguard

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	maxTunnels         = 8192             // at once; further ones are closed
	maxUnauthenticated = 256              // connections that have not authenticated yet
	maxPins            = 64               // hosts of one user with a remembered address
	maxSources         = 1024             // addresses of one user that are remembered
	authTimeout        = 10 * time.Second // for authentication
	maxConnectRequest  = 16 << 10         // bytes of a request
	dialTimeout        = 15 * time.Second
)

// Proxy is an HTTP proxy on loopback for another process of this machine. It accepts
// CONNECT only, dials with its [Guard], and serves only admitted users with the
// password that it generated.
type Proxy struct {
	dial            func(ctx context.Context, network, address string) (net.Conn, error)
	listener        net.Listener
	password        string
	life            context.Context // ends with Close
	stop            context.CancelFunc
	unauthenticated chan struct{} // one element for each
	tunnels         chan struct{} // a semaphore too
	running         sync.WaitGroup

	mu    sync.Mutex
	users map[string]*user
	conns map[net.Conn]bool // closed by Close

	handled map[string]*pipes // by host:port in lower case; see Handle
}

// user is one download.
type user struct {
	lastError error
	allowed   []string              // each host:port that it may reach; empty: all that the guard allows
	pins      map[string]netip.Addr // host to the address that it last connected to
	traffic   Traffic
	hidesSize bool            // it gets no length by SIZE
	retrieves bool            // it has requested a transfer by FTP
	sources   map[string]bool // each host:port, in lower case, that may have brought a file
}

// NewProxy starts a proxy on a free port of 127.0.0.1.
func (g *Guard) NewProxy() (*Proxy, error) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("guard proxy: %w", err)
	}
	life, stop := context.WithCancel(context.Background())
	p := &Proxy{
		dial: g.Dialer(dialTimeout), listener: l, password: rand.Text(), life: life, stop: stop,
		unauthenticated: make(chan struct{}, maxUnauthenticated), tunnels: make(chan struct{}, maxTunnels),
		users: map[string]*user{}, conns: map[net.Conn]bool{}, handled: map[string]*pipes{},
	}
	p.running.Add(1)
	go p.accept()
	return p, nil
}

// URL returns where the proxy is, without user and password.
func (p *Proxy) URL() string { return "http://" + p.listener.Addr().String() }

// Admit admits a user, clears its [Proxy.LastError], and returns the URL with its name
// and the password: a secret. If only lists addresses (host:port), the user can reach
// no others.
func (p *Proxy) Admit(name string, only ...string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.users[name] = &user{allowed: only, pins: map[string]netip.Addr{}, sources: map[string]bool{}}
	u := url.URL{Scheme: "http", User: url.UserPassword(name, p.password), Host: p.listener.Addr().String()}
	return u.String()
}

// Revoke refuses further connections of a user.
func (p *Proxy) Revoke(name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.users, name)
}

// LastError returns why a connection of the user has failed since it was admitted, nil
// without a failure. It is a [*RefusedError] only if every failure was a refusal.
func (p *Proxy) LastError(name string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if u := p.users[name]; u != nil {
		return u.lastError
	}
	return nil
}

// Close closes every connection and waits for the goroutines to end.
func (p *Proxy) Close() error {
	p.stop()
	err := p.listener.Close()
	p.mu.Lock()
	for c := range p.conns {
		c.Close()
	}
	p.mu.Unlock()
	p.running.Wait()
	if err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("guard proxy: %w", err)
	}
	return nil
}

func (p *Proxy) accept() {
	defer p.running.Done()
	for {
		c, err := p.listener.Accept()
		switch {
		case p.life.Err() != nil:
			if err == nil {
				c.Close()
			}
			return
		case err != nil: // out of descriptors: temporary
			pause(p.life, 50*time.Millisecond)
			continue
		}
		select {
		case p.unauthenticated <- struct{}{}:
			p.running.Add(1)
			go p.serve(c)
		default:
			c.Close()
		}
	}
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// register registers a connection, so that Close closes it. It returns false after Close.
func (p *Proxy) register(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.life.Err() != nil {
		return false
	}
	p.conns[c] = true
	return true
}

func (p *Proxy) closeConn(c net.Conn) {
	p.mu.Lock()
	delete(p.conns, c)
	p.mu.Unlock()
	c.Close()
}

// serve answers one connection.
func (p *Proxy) serve(c net.Conn) {
	defer p.running.Done()
	defer p.closeConn(c)
	pending := true
	releaseSlot := func() {
		if pending {
			pending = false
			<-p.unauthenticated
		}
	}
	defer releaseSlot()
	if !p.register(c) || c.SetDeadline(time.Now().Add(authTimeout)) != nil {
		return
	}
	in := bufio.NewReaderSize(io.LimitReader(c, maxConnectRequest), requestBuffer)
	name, address, status := p.readConnect(in)
	switch status {
	case http.StatusOK:
	case http.StatusBadRequest:
		return // not an HTTP client: it could not read a response
	default:
		refuse(c, status)
		return
	}
	releaseSlot()
	select {
	case p.tunnels <- struct{}{}:
		defer func() { <-p.tunnels }()
	default:
		refuse(c, http.StatusServiceUnavailable)
		return
	}
	if c.SetDeadline(time.Time{}) != nil {
		return
	}
	far, err := p.connect(name, address)
	if err != nil {
		p.setLastError(name, err)
		refuse(c, http.StatusBadGateway)
		return
	}
	p.countTunnel(name)
	defer p.closeConn(far)
	if !p.register(far) {
		return
	}
	if _, err := io.WriteString(c, "HTTP/1.1 200 Connection established\r\n\r\n"); err == nil {
		p.tunnel(c, in, far, &monitor{proxy: p, user: name, address: address, far: far, awaiting: make(chan struct{}, 1), replied: make(chan struct{}, 1)})
	}
}

// readConnect reads the CONNECT request: the user and the address. status is not 200 if
// the request is refused.
func (p *Proxy) readConnect(in *bufio.Reader) (name, address string, status int) {
	req, err := http.ReadRequest(in)
	if err != nil {
		return "", "", http.StatusBadRequest
	}
	name, ok := p.authenticate(req)
	switch {
	case !ok:
		return "", "", http.StatusProxyAuthRequired
	case req.Method != http.MethodConnect:
		return "", "", http.StatusMethodNotAllowed
	}
	return name, req.Host, http.StatusOK
}

// authenticate returns the name of an admitted user with the right password.
func (p *Proxy) authenticate(req *http.Request) (string, bool) {
	encoded, ok := strings.CutPrefix(req.Header.Get("Proxy-Authorization"), "Basic ")
	if !ok {
		return "", false
	}
	plain, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return "", false
	}
	name, password, _ := strings.Cut(string(plain), ":")
	if subtle.ConstantTimeCompare([]byte(password), []byte(p.password)) != 1 {
		return "", false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return name, p.users[name] != nil
}

// connect dials for a user. It tries a host that the user has reached before at the
// same address first: the data connection of FTP must reach the server of its control
// connection, also if the name has several addresses.
func (p *Proxy) connect(name, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return nil, fmt.Errorf("connect to %.80s: %.20q is no port", host, port)
	}
	if !p.mayReach(name, address) {
		return nil, fmt.Errorf("%.80s: the server leads there now, and did not when it was asked where the file is", address)
	}
	if inside := p.handled[strings.ToLower(address)]; inside != nil {
		return inside.dial()
	}
	if pin, ok := p.pin(name, host); ok {
		if c, err := p.dial(p.life, "tcp", net.JoinHostPort(pin.String(), port)); err == nil {
			return c, nil
		}
	}
	var c net.Conn
	err = errors.New("not dialled")
	if port == "21" { // through a tunnel aria2 uses PASV, which any server knows over IPv4 only
		c, err = p.dial(p.life, "tcp4", address)
	}
	if err != nil {
		c, err = p.dial(p.life, "tcp", address)
	}
	if err != nil {
		return nil, err
	}
	p.setPin(name, host, c.RemoteAddr())
	return c, nil
}

func (p *Proxy) mayReach(name, address string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	u := p.users[name]
	return u != nil && (len(u.allowed) == 0 ||
		slices.ContainsFunc(u.allowed, func(one string) bool { return strings.EqualFold(one, address) }))
}

func (p *Proxy) pin(name, host string) (netip.Addr, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if u := p.users[name]; u != nil {
		addr, ok := u.pins[host]
		return addr, ok
	}
	return netip.Addr{}, false
}

func (p *Proxy) setPin(name, host string, to net.Addr) {
	tcp, ok := to.(*net.TCPAddr)
	p.mu.Lock()
	defer p.mu.Unlock()
	if u := p.users[name]; ok && u != nil && (len(u.pins) < maxPins || u.pins[host].IsValid()) {
		u.pins[host] = tcp.AddrPort().Addr().Unmap()
	}
}

// setLastError records why a connection failed. A refusal does not replace another error,
// which may be temporary.
func (p *Proxy) setLastError(name string, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	u := p.users[name]
	if u == nil || u.lastError != nil && errors.As(err, new(*RefusedError)) {
		return
	}
	u.lastError = err
}

// refuse answers with a status and no tunnel.
func refuse(c net.Conn, status int) {
	challenge := ""
	if status == http.StatusProxyAuthRequired {
		challenge = "Proxy-Authenticate: Basic realm=\"guard\"\r\n"
	}
	// The client may be gone.
	_, _ = fmt.Fprintf(c, "HTTP/1.1 %d %s\r\n%sContent-Length: 0\r\nConnection: close\r\n\r\n", status, http.StatusText(status), challenge)
}
