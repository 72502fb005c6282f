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

	ETag     string // of the first response that brought a file and has one
	HasOther bool   // a later one has another
	Untagged bool   // one that brought a file has none

	Transfers int   // FTP transfers whose final reply may still come
	Transfer  int   // the final reply to the last FTP transfer; 0: none has come
	Reply     int   // the last reply on a control connection of FTP after the greeting; 0: none
	Longest   int64 // the most bytes that a connection brought without a request, as an FTP transfer does
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

// HasBrought reports whether an address (host:port) may have brought a file or a part of it to a
// user since it was admitted. After many addresses it is true for each.
func (p *Proxy) HasBrought(name, address string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	u := p.users[name]
	return u != nil && (u.sources[strings.ToLower(address)] || len(u.sources) >= maxSources)
}

// countTunnel counts a connection of a user.
func (p *Proxy) countTunnel(name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if u := p.users[name]; u != nil {
		u.traffic.Tunnels++
	}
}

// monitor notes the responses of one tunnel. One response after another can come
// through it, each to a request that near sends after the previous response has ended.
type monitor struct {
	proxy   *Proxy
	user    string
	address string // host:port
	far     net.Conn

	requests atomic.Int64 // HTTP requests that near has sent
	head     atomic.Bool  // the last of them asks for no body
	answered atomic.Int64 // requests with a response that has begun

	retrieving atomic.Bool   // near has requested an FTP transfer whose final reply has not come
	replied    chan struct{} // has an element when such a reply has come
	passive    atomic.Int32  // the state of a request for the address of a transfer, see [monitor.passiveReply]
	longReply  string        // the code of a reply of FTP whose last line has not come; the reader of far has it

	awaiting chan struct{} // has an element when the reader of far expects a response
}

// noteRequest notes the bytes that near sends. A request that follows a response ends the
// wait for more of that response: the next bytes begin another one.
func (m *monitor) noteRequest(b []byte) {
	method, _, ok := bytes.Cut(b[:min(len(b), 8)], []byte(" "))
	if ok && string(method) == "RETR" {
		m.beginTransfer()
	}
	if !ok || string(method) != "GET" && string(method) != "HEAD" {
		return
	}
	m.head.Store(string(method) == "HEAD")
	select {
	case <-m.awaiting: // came too late for the request before
	default:
	}
	if m.requests.Add(1) > 1 && m.answered.Load() > 0 {
		_ = m.far.SetReadDeadline(time.Unix(1, 0)) // fails only if it is closed
		m.awaitReader()
	}
}

// awaitReader waits until the reader of far expects a response. A deadline that passes while
// bytes arrive does not always end a read: a response that came at once would be taken for more
// of the one before. A reader that waits for near, which sends requests ahead, does not come.
func (m *monitor) awaitReader() {
	late := time.NewTimer(maxReaderWait)
	defer late.Stop()
	select {
	case <-m.awaiting:
	case <-late.C:
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
	select {
	case m.awaiting <- struct{}{}:
	default:
	}
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
	t.Host, _, _ = net.SplitHostPort(m.address) // connect has read it
	t.Status = status
	switch {
	case status == 0:
		t.Opaque++
	case status < 300 && !m.head.Load():
		t.Bodies++
		t.noteETag(etagOf(b))
	default:
		return
	}
	if len(u.sources) < maxSources {
		u.sources[strings.ToLower(m.address)] = true
	}
}

func (t *Traffic) noteETag(tag string) {
	switch {
	case tag == "":
		t.Untagged = true
	case t.ETag == "":
		t.ETag = tag
	default:
		t.HasOther = t.HasOther || tag != t.ETag
	}
}

// etagOf returns the ETag of the HTTP response that begins with b; "" if b does not have it.
func etagOf(b []byte) string {
	for line := range bytes.SplitSeq(b, []byte("\n")) {
		name, value, ok := bytes.Cut(line, []byte(":"))
		switch {
		case len(bytes.TrimSpace(line)) == 0:
			return "" // the end of the header
		case ok && bytes.EqualFold(bytes.TrimSpace(name), []byte("etag")) && bytes.HasSuffix(line, []byte("\r")):
			return string(bytes.TrimSpace(value))
		}
	}
	return ""
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
