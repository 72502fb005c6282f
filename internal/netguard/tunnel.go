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
	requestBuffer = 4 << 10 // bytes; requests are small, and bodies are not copied
	bannerBuffer  = 1 << 10
	part          = 64 << 10
	slowPart      = 250 * time.Millisecond
	gatherBuffer  = 32 << 10
	gatherTime    = 200 * time.Millisecond
	readPoll      = 5 * time.Millisecond
	maxReadWait   = 10 * time.Second
	blindReadWait = 200 * time.Millisecond // where the kernel does not tell what was read
)

// tunnel joins the two until the near one ends. What near has sent already is in
// greeted.
func (p *Proxy) tunnel(near net.Conn, greeted *bufio.Reader, far net.Conn, responses *monitor) {
	first := &watched{w: far, responses: responses, spoke: make(chan struct{})}
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.answer(near, far, first)
	}()
	buf := make([]byte, requestBuffer)
	early := io.LimitReader(greeted, int64(greeted.Buffered()))
	if _, err := io.CopyBuffer(first, early, buf); err == nil {
		// The error is the end. A plain reader: what is small is not worth a pipe.
		_, _ = io.CopyBuffer(first, struct{ io.Reader }{near}, buf)
	}
	far.Close() // whoever asks no more wants no answer
	near.Close()
	<-done
}

// watched is what the near end says.
type watched struct {
	w         io.Writer
	responses *monitor
	once      sync.Once
	spoke     chan struct{} // closed when it says something for the first time
	said      atomic.Int64  // how often it has
}

func (w *watched) Write(b []byte) (int, error) {
	w.once.Do(func() { close(w.spoke) })
	w.said.Add(1)
	w.responses.request(b)
	return w.w.Write(b)
}

// answer copies from far to near. Where the far end speaks first (FTP, SSH) it
// waits until near has read the proxy's own answer: aria2 takes what comes in one
// piece with it for a part of it, and waits for the banner without end.
func (p *Proxy) answer(near, far net.Conn, asked *watched) {
	banner := make([]byte, bannerBuffer)
	n, err := far.Read(banner)
	if n > 0 {
		asked.responses.response(banner[:n])
		p.awaitRead(near, asked.spoke)
		if _, werr := near.Write(banner[:n]); werr != nil {
			err = werr
		}
	}
	if err == nil {
		err = p.copyAll(near, far, asked)
	} else {
		err = ignoreEOF(err)
	}
	tcp, ok := near.(*net.TCPConn)
	switch {
	case !ok:
		near.Close()
	case err != nil: // a broken answer must not look like one that has ended
		_ = tcp.SetLinger(0) // fails only if it is closed
		near.Close()
	default:
		_ = tcp.CloseWrite() // the same
	}
}

// copyAll copies from far to near until the end, part by part. TCP to TCP the
// kernel moves the bytes (splice), but once for each packet: where a part came
// slowly, the bytes of the next are let gather. Or many slow downloads would cost
// the worker more than all the rest.
func (p *Proxy) copyAll(near, far net.Conn, asked *watched) error {
	var buf []byte
	for slow := false; ; {
		var n int64
		var err error
		began := time.Now()
		from := io.LimitReader(far, part)
		if slow {
			if buf == nil {
				buf = make([]byte, gatherBuffer)
			}
			n, err = p.gather(near, from, buf, asked)
		} else {
			n, err = io.Copy(near, from)
		}
		late := errors.Is(err, os.ErrDeadlineExceeded)
		switch {
		case asked.responses.waiting() && (err == nil || late):
			if err = asked.responses.next(near, far); err != nil {
				return ignoreEOF(err)
			}
			continue
		case late:
			if err = far.SetReadDeadline(time.Time{}); err != nil {
				return err
			}
			continue
		case err != nil, n < part:
			return err
		}
		slow = time.Since(began) > slowPart
	}
}

// gather copies with a pause before each read that is not worth its cost. A
// conversation (SFTP) waits for each answer.
func (p *Proxy) gather(near io.Writer, far io.Reader, buf []byte, asked *watched) (copied int64, err error) {
	said := asked.said.Load()
	for {
		n, err := far.Read(buf)
		copied += int64(n)
		if _, werr := near.Write(buf[:n]); werr != nil {
			return copied, werr
		}
		before := said
		said = asked.said.Load()
		switch {
		case errors.Is(err, io.EOF):
			return copied, nil
		case err != nil:
			return copied, err
		case asked.responses.waiting():
			return copied, nil
		case n < len(buf) && said == before:
			pause(p.life, gatherTime)
		}
	}
}

// awaitRead waits until the other end of c has read all that was written to it, or
// has spoken.
func (p *Proxy) awaitRead(c net.Conn, spoke <-chan struct{}) {
	deadline := time.NewTimer(maxReadWait)
	defer deadline.Stop()
	poll := time.NewTicker(readPoll)
	defer poll.Stop()
	// More than once, for the kernel's table is no snapshot: it can miss a line.
	for empty, missed := 0, 0; empty < 2; {
		select {
		case <-spoke:
			return
		default:
		}
		read, known := hasRead(c)
		switch {
		case !known && missed == 3:
			pause(p.life, blindReadWait)
			return
		case !known:
			missed++
		case read:
			empty++
		default:
			empty = 0
		}
		select {
		case <-spoke:
			return
		case <-deadline.C:
			return
		case <-p.life.Done():
			return
		case <-poll.C:
		}
	}
}

// hasRead reports whether the other end of a connection over the loopback has read
// everything, by the kernel's table of connections; known is false where there is
// none.
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

// procAddr writes an IPv4 address as the table does: the bytes as a number of the
// machine's own order.
func procAddr(a net.Addr) (string, bool) {
	tcp, ok := a.(*net.TCPAddr)
	if !ok || tcp.IP.To4() == nil {
		return "", false
	}
	return fmt.Sprintf("%08X:%04X", binary.NativeEndian.Uint32(tcp.IP.To4()), tcp.Port), true
}
