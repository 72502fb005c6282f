package netguard

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

const (
	requestBuffer   = 4 << 10 // bytes; requests are small, and bodies are not copied
	bannerBuffer    = 4 << 10
	partSize        = 64 << 10
	maxPartSize     = 1 << 20 // of a fast download: each part costs several calls
	fastPartTime    = 25 * time.Millisecond
	slowPartTime    = 250 * time.Millisecond // of partSize
	gatherBuffer    = 32 << 10
	gatherTime      = 200 * time.Millisecond
	readPoll        = 5 * time.Millisecond
	maxReadWait     = 10 * time.Second
	unknownReadWait = 200 * time.Millisecond // where the kernel does not report the bytes read
	maxReaderWait   = 100 * time.Millisecond
)

// tunnel copies between near and far until near ends. greeted has the bytes that near
// has already sent.
func (p *Proxy) tunnel(near net.Conn, greeted *bufio.Reader, far net.Conn, responses *monitor) {
	first := &requestWriter{w: far, responses: responses, wrote: make(chan struct{})}
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.copyResponses(near, far, first)
	}()
	buf := make([]byte, requestBuffer)
	early := io.LimitReader(greeted, int64(greeted.Buffered()))
	if _, err := io.CopyBuffer(first, early, buf); err == nil {
		// An error ends the copy. The plain reader avoids a pipe for small requests.
		_, _ = io.CopyBuffer(first, struct{ io.Reader }{near}, buf)
	}
	responses.awaitReply()
	far.Close() // a client that sends no more requests expects no response
	near.Close()
	<-done
	responses.endTransfer(0)
}

// requestWriter is a writer that notes what the near end sends.
type requestWriter struct {
	w         io.Writer
	responses *monitor
	once      sync.Once
	wrote     chan struct{} // closed at the first write
	writes    atomic.Int64  // number of writes
}

func (w *requestWriter) Write(b []byte) (int, error) {
	w.once.Do(func() { close(w.wrote) })
	w.writes.Add(1)
	w.responses.noteRequest(b)
	return w.responses.forward(w.w, b)
}

// copyResponses copies from far to near. Where the far end speaks first (FTP, SSH), it
// waits until near has read the proxy's own response. aria2 takes bytes that arrive
// together with that response for a part of it, and then waits for the banner without
// end.
func (p *Proxy) copyResponses(near, far net.Conn, requests *requestWriter) {
	banner := make([]byte, bannerBuffer)
	n, err := far.Read(banner)
	if n > 0 {
		requests.responses.noteResponse(banner[:n])
		p.awaitRead(near, requests.wrote)
		if _, werr := near.Write(banner[:n]); werr != nil {
			err = werr
		}
	}
	var copied int64
	switch {
	case err != nil:
		err = ignoreEOF(err)
	case isGreeting(banner[:n]):
		copied, err = requests.responses.copyReplies(near, far)
		requests.responses.endTransfer(0)
	default:
		copied, err = p.copyAll(near, far, requests)
	}
	if requests.writes.Load() == 0 {
		requests.responses.noteLongest(int64(n)+copied, isGreeting(banner[:n]) || isRefusal(banner[:n]))
	}
	tcp, ok := near.(*net.TCPConn)
	switch {
	case !ok:
		near.Close()
	case err != nil: // a broken response must not look like a complete one
		_ = tcp.SetLinger(0) // fails only if it is closed
		near.Close()
	default:
		_ = tcp.CloseWrite() // the same
	}
}

// copyAll copies from far to near until the end, part by part. From TCP to TCP the
// kernel moves the bytes (splice), with one call for each packet. So after a slow part
// it gathers the bytes of the next one: otherwise many slow downloads would cost the
// worker more than everything else.
func (p *Proxy) copyAll(near, far net.Conn, requests *requestWriter) (int64, error) {
	var buf []byte
	var copied int64
	size := int64(partSize)
	for slow := false; ; {
		var n int64
		var err error
		began := time.Now()
		from := io.LimitReader(far, size)
		if slow {
			if buf == nil {
				buf = make([]byte, gatherBuffer)
			}
			n, err = p.gather(near, from, buf, requests)
		} else {
			n, err = io.Copy(near, from)
		}
		copied += n
		late := errors.Is(err, os.ErrDeadlineExceeded)
		switch {
		case requests.responses.isResponseDue() && (err == nil || late):
			if err = requests.responses.awaitResponse(near, far); err != nil {
				return copied, ignoreEOF(err)
			}
			continue
		case late:
			if err = far.SetReadDeadline(time.Time{}); err != nil {
				return copied, err
			}
			continue
		case err != nil, n < size:
			return copied, err
		}
		took := time.Since(began)
		slow = took > slowPartTime*time.Duration(size/partSize)
		if size = partSize; took < fastPartTime {
			size = min(4*n, maxPartSize)
		}
	}
}

// gather copies and pauses after each small read. It does not pause in a conversation
// (SFTP), which waits for each answer.
func (p *Proxy) gather(near io.Writer, far io.Reader, buf []byte, requests *requestWriter) (copied int64, err error) {
	said := requests.writes.Load()
	for {
		n, err := far.Read(buf)
		copied += int64(n)
		if _, werr := near.Write(buf[:n]); werr != nil {
			return copied, werr
		}
		before := said
		said = requests.writes.Load()
		switch {
		case errors.Is(err, io.EOF):
			return copied, nil
		case err != nil:
			return copied, err
		case requests.responses.isResponseDue():
			return copied, nil
		case n < len(buf) && said == before:
			pause(p.life, gatherTime)
		}
	}
}

// awaitRead waits until the other end of c has read all that was written to it, or
// has written something.
func (p *Proxy) awaitRead(c net.Conn, wrote <-chan struct{}) {
	deadline := time.NewTimer(maxReadWait)
	defer deadline.Stop()
	poll := time.NewTicker(readPoll)
	defer poll.Stop()
	// Two reads, because the kernel's table is not a snapshot: it can miss a line.
	for empty, missed := 0, 0; empty < 2; {
		select {
		case <-wrote:
			return
		default:
		}
		read, known := hasRead(c)
		switch {
		case !known && missed == 3:
			pause(p.life, unknownReadWait)
			return
		case !known:
			missed++
		case read:
			empty++
		default:
			empty = 0
		}
		select {
		case <-wrote:
			return
		case <-deadline.C:
			return
		case <-p.life.Done():
			return
		case <-poll.C:
		}
	}
}

// hasRead reports, from the kernel's table of connections, whether the other end of a
// connection over the loopback has read everything. known is false without that table.
func hasRead(c net.Conn) (read, known bool) {
	table, err := os.ReadFile("/proc/net/tcp")
	if err != nil {
		return false, false
	}
	here, ok1 := procAddr(c.LocalAddr())
	there, ok2 := procAddr(c.RemoteAddr())
	if !ok1 || !ok2 {
		return false, false
	}
	found := 0
	for line := range bytes.Lines(table) {
		// sl local rem st tx:rx …
		f := bytes.Fields(line)
		if len(f) < 5 {
			continue
		}
		tx, rx, _ := bytes.Cut(f[4], []byte(":"))
		switch {
		case string(f[1]) == here && string(f[2]) == there:
			found++
			read = isZero(tx)
		case string(f[1]) == there && string(f[2]) == here:
			found++
			if !isZero(rx) {
				return false, true
			}
		}
	}
	return read, found == 2
}

func isZero(hex []byte) bool { return len(bytes.Trim(hex, "0")) == 0 }

// procAddr formats an IPv4 address as the table does: the bytes as a number in the
// byte order of the machine.
func procAddr(a net.Addr) (string, bool) {
	tcp, ok := a.(*net.TCPAddr)
	if !ok || tcp.IP.To4() == nil {
		return "", false
	}
	return fmt.Sprintf("%08X:%04X", binary.NativeEndian.Uint32(tcp.IP.To4()), tcp.Port), true
}
