package netguard

import (
	"bytes"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"time"
)

// aria2c believes what an FTP server states with SIZE, and takes the end of a transfer for the end
// of the file without regard to the reply. So the proxy notes these replies and how many bytes a
// transfer brought, and can keep the length from aria2c. It also writes the address of a transfer as
// aria2c reads it.

// instead is sent instead of SIZE. Its reply states no length, so aria2c reads up to the end.
const instead = "NOOP\r\n"

// maxReplyWait bounds the wait for the reply to a transfer after its end.
const maxReplyWait = 10 * time.Second

// HideSize keeps from a user what FTP servers state with SIZE, until it is admitted again.
func (p *Proxy) HideSize(name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if u := p.users[name]; u != nil {
		u.hidesSize = true
	}
}

// forward writes the bytes that near sends to far. A command that would ask for a length is
// replaced.
func (m *monitor) forward(far io.Writer, b []byte) (int, error) {
	if bytes.EqualFold(b, []byte("PASV\r\n")) {
		m.passive.Store(passiveAsked)
	}
	if bytes.HasPrefix(b, []byte("SIZE ")) && bytes.IndexByte(b, '\n') == len(b)-1 && m.isSizeHidden() {
		_, err := io.WriteString(far, instead)
		return len(b), err
	}
	return far.Write(b)
}

func (m *monitor) isSizeHidden() bool {
	m.proxy.mu.Lock()
	defer m.proxy.mu.Unlock()
	u := m.proxy.users[m.user]
	return u != nil && u.hidesSize
}

// beginTransfer notes that near has requested a transfer.
func (m *monitor) beginTransfer() {
	select {
	case <-m.replied: // to a transfer before
	default:
	}
	if !m.retrieving.Swap(true) {
		m.setTransfer(0, 1)
	}
}

// endTransfer notes the final reply to a transfer, 0 if none will come.
func (m *monitor) endTransfer(code int) {
	if m.retrieving.Swap(false) {
		m.setTransfer(code, -1)
		select {
		case m.replied <- struct{}{}:
		default:
		}
	}
}

func (m *monitor) setReply(code int) {
	m.proxy.mu.Lock()
	defer m.proxy.mu.Unlock()
	if u := m.proxy.users[m.user]; u != nil {
		u.traffic.Reply = code
	}
}

func (m *monitor) setTransfer(code, change int) {
	m.proxy.mu.Lock()
	defer m.proxy.mu.Unlock()
	if u := m.proxy.users[m.user]; u != nil {
		u.retrieves = true
		u.traffic.Transfer, u.traffic.Transfers = code, max(u.traffic.Transfers+change, 0)
	}
}

// awaitReply waits for the final reply to a transfer. aria2c ends the connection without it where
// it knows no length.
func (m *monitor) awaitReply() {
	if !m.retrieving.Load() {
		return
	}
	late := time.NewTimer(maxReplyWait)
	defer late.Stop()
	select {
	case <-m.replied:
	case <-late.C:
	case <-m.proxy.life.Done():
	}
}

// noteLongest notes how many bytes far has sent without a request: those of an FTP transfer. What
// begins as a server's greeting is one only if a transfer was requested.
func (m *monitor) noteLongest(n int64, greets bool) {
	m.proxy.mu.Lock()
	defer m.proxy.mu.Unlock()
	if u := m.proxy.users[m.user]; u != nil && (u.retrieves || !greets) {
		u.traffic.Longest = max(u.traffic.Longest, n)
	}
}

// isGreeting reports whether b is the begin of a control connection of FTP.
func isGreeting(b []byte) bool {
	return len(b) > 3 && (string(b[:3]) == "220" || string(b[:3]) == "120") && (b[3] == ' ' || b[3] == '-')
}

// isRefusal reports whether b is what an FTP server sends instead, if it has too many clients.
func isRefusal(b []byte) bool {
	return bytes.HasPrefix(b, []byte("421 ")) || bytes.HasPrefix(b, []byte("421-"))
}

// copyReplies copies a control connection of FTP from far to near, and notes its replies.
func (m *monitor) copyReplies(near io.Writer, far io.Reader) (copied int64, err error) {
	buf := make([]byte, bannerBuffer)
	var begin []byte // of a line
	for {
		n, err := far.Read(buf)
		forwarded := buf[:n]
		if len(begin) == 0 {
			forwarded = withParentheses(m.passiveReply(forwarded))
		}
		for _, c := range buf[:n] {
			switch {
			case c == '\n':
				m.noteReply(begin)
				begin = begin[:0]
			case len(begin) < len("226 "):
				begin = append(begin, c)
			}
		}
		copied += int64(n)
		if _, werr := near.Write(forwarded); werr != nil && !m.retrieving.Load() {
			return copied, werr
		}
		if err != nil {
			return copied, ignoreEOF(err)
		}
	}
}

// passiveAddress matches the address in a reply to PASV.
var passiveAddress = regexp.MustCompile(`[0-9]{1,3}(,[0-9]{1,3}){5}`)

// The states of [monitor.passive].
const (
	passiveAsked    = 1 // near has sent PASV, and its reply has not come
	passiveExtended = 2 // the proxy has sent EPSV instead
)

// extendedPort matches the port in a reply to EPSV (RFC 2428, 3).
var extendedPort = regexp.MustCompile(`\([^0-9A-Za-z ]{3}([0-9]{1,5})[^0-9]\)`)

// passiveReply returns what near gets for a reply. Through a tunnel aria2c sends PASV only, which
// servers refuse over IPv6, and some always. So a refusal is not forwarded: the server is asked by
// EPSV, and near gets the reply in the form of one to PASV. Its address does not count, see
// [Proxy.connect]. A reply that came in pieces is forwarded unchanged.
func (m *monitor) passiveReply(reply []byte) []byte {
	state := m.passive.Load()
	if state == 0 || len(reply) == 0 {
		return reply
	}
	m.passive.Store(0)
	isWhole := bytes.IndexByte(reply, '\n') == len(reply)-1
	switch {
	case !isWhole, isRefusal(reply):
	case state == passiveAsked && (reply[0] == '4' || reply[0] == '5'):
		if _, err := io.WriteString(m.far, "EPSV\r\n"); err == nil {
			m.passive.Store(passiveExtended)
			return nil
		}
	case state == passiveExtended && bytes.HasPrefix(reply, []byte("229 ")):
		if found := extendedPort.FindSubmatch(reply); found != nil {
			port, _ := strconv.ParseUint(string(found[1]), 10, 32) // five digits, always a number
			return fmt.Appendf(nil, "227 Entering Passive Mode (0,0,0,0,%d,%d).\r\n", port>>8, port&0xff)
		}
	}
	return reply
}

// withParentheses returns a reply to PASV in the form that aria2c reads: with the address in
// parentheses, on which RFC 1123 (section 4.1.2.6) has no client rely. It returns anything else,
// also a reply that came in pieces, unchanged.
func withParentheses(reply []byte) []byte {
	if !bytes.HasPrefix(reply, []byte("227 ")) || bytes.IndexByte(reply, '\n') != len(reply)-1 || bytes.IndexByte(reply, '(') >= 0 {
		return reply
	}
	address := passiveAddress.Find(reply)
	if address == nil {
		return reply
	}
	return fmt.Appendf(nil, "227 Entering Passive Mode (%s).\r\n", address)
}

// noteReply notes a reply, which may be the final one to a transfer, by the begin of a line.
// The lines of a long reply, up to one with its code and a space, may have any text.
func (m *monitor) noteReply(begin []byte) {
	if len(begin) < len("226 ") {
		return
	}
	text := string(begin[:3])
	code, err := strconv.ParseUint(text, 10, 16)
	switch {
	case err != nil, m.longReply != "" && text != m.longReply:
		return
	case begin[3] == '-':
		m.longReply = text
		return
	case begin[3] != ' ' && begin[3] != '\r':
		return
	}
	m.longReply = ""
	if code >= 100 && code < 600 {
		m.setReply(int(code))
	}
	if code >= 200 && code < 600 {
		m.endTransfer(int(code))
	}
}
