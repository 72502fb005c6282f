package netguard

import (
	"bytes"
	"errors"
	"io"
	"net"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// Traffic is what a [Proxy] has seen of a user's connections since it was admitted.
type Traffic struct {
	Tunnels int // connections that were made
	Bodies  int // HTTP responses that brought a file or a part of it
	Opaque  int // connections with responses that the proxy cannot read, such as those of TLS

	Host   string // of the last response or opaque connection
	Status int    // of the last response; 0: opaque
}

// Traffic returns what a user's connections have brought.
func (p *Proxy) Traffic(name string) Traffic {
	p.mu.Lock()
	defer p.mu.Unlock()
	if u := p.users[name]; u != nil {
		return u.traffic
	}
	return Traffic{}
}

// Reached reports whether a user may have been connected to an address (host:port) since it
// was admitted. After many addresses it is true for each.
func (p *Proxy) Reached(name, address string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	u := p.users[name]
	return u != nil && (u.reached[strings.ToLower(address)] || len(u.reached) >= maxReached)
}

// countTunnel counts a connection of a user.
func (p *Proxy) countTunnel(name, address string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	u := p.users[name]
	if u == nil {
		return
	}
	u.traffic.Tunnels++
	if len(u.reached) < maxReached {
		u.reached[strings.ToLower(address)] = true
	}
}

// monitor notes the responses of one tunnel. One response after another can come
// through it, each to a request that near sends after the previous response has ended.
type monitor struct {
	proxy      *Proxy
	user, host string
	far        net.Conn

	requests atomic.Int64 // HTTP requests that near has sent
	head     atomic.Bool  // the last of them asks for no body
	answered atomic.Int64 // requests with a response that has begun
}

// noteRequest notes the bytes that near sends. A request that follows a response ends the
// wait for more of that response: the next bytes begin another one.
func (m *monitor) noteRequest(b []byte) {
	method, _, ok := bytes.Cut(b[:min(len(b), 8)], []byte(" "))
	if !ok || string(method) != "GET" && string(method) != "HEAD" {
		return
	}
	m.head.Store(string(method) == "HEAD")
	if m.requests.Add(1) > 1 && m.answered.Load() > 0 {
		_ = m.far.SetReadDeadline(time.Unix(1, 0)) // fails only if it is closed
	}
}

// isResponseDue reports whether the next bytes of far begin a response. The goroutine that
// reads far calls it.
func (m *monitor) isResponseDue() bool {
	answered := m.answered.Load()
	return answered > 0 && m.requests.Load() > answered
}

// awaitResponse forwards the begin of the response to a further request.
func (m *monitor) awaitResponse(near io.Writer, far net.Conn) error {
	buf := make([]byte, bannerBuffer)
	for {
		if err := far.SetReadDeadline(time.Time{}); err != nil {
			return err
		}
		n, err := far.Read(buf)
		if n > 0 {
			m.noteResponse(buf[:n])
			_, err = near.Write(buf[:n])
		}
		var late net.Error
		if n > 0 || !errors.As(err, &late) || !late.Timeout() {
			return err
		}
	}
}

// noteResponse notes the response that begins with b.
func (m *monitor) noteResponse(b []byte) {
	requests := max(m.requests.Load(), 1)
	status := statusOf(b)
	if requests > m.answered.Swap(requests)+1 {
		status = 0 // several requests were sent at once: the other responses are not seen
	}
	m.proxy.mu.Lock()
	defer m.proxy.mu.Unlock()
	u := m.proxy.users[m.user]
	if u == nil {
		return
	}
	t := &u.traffic
	t.Host, t.Status = m.host, status
	switch {
	case status == 0:
		t.Opaque++
	case status < 300 && !m.head.Load():
		t.Bodies++
	}
}

// statusOf returns the final status of the HTTP response that begins with b. It returns
// 0 if b is not the begin of one, and for a 1xx status, which another response follows.
func statusOf(b []byte) int {
	line, ok := bytes.CutPrefix(b, []byte("HTTP/1."))
	if !ok || len(line) < 5 || line[1] != ' ' {
		return 0
	}
	status, err := strconv.Atoi(string(line[2:5]))
	if err != nil || status < 200 || status > 999 {
		return 0
	}
	return status
}

func ignoreEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}
