package download

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"
	"strings"
	"time"
)

// maxHead bounds the head of a response, in bytes.
const maxHead = 256 << 10

// dialTLS returns a function as [http.Transport.DialTLSContext], over connections of
// dial. The handshake takes at most timeout. kept says that a connection may serve further
// requests.
func dialTLS(dial func(ctx context.Context, network, address string) (net.Conn, error), timeout time.Duration, kept bool) func(ctx context.Context, network, address string) (net.Conn, error) {
	suites := cipherSuites()
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		host, _, err := net.SplitHostPort(address)
		if err != nil {
			return nil, err
		}
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		ctx, cancel := context.WithTimeout(ctx, timeout)
		defer cancel()
		secure := tls.Client(conn, &tls.Config{
			ServerName: host, MinVersion: tls.VersionTLS12, CipherSuites: suites, NextProtos: []string{"http/1.1"},
		})
		switch err := secure.HandshakeContext(ctx); {
		case err == nil:
			return &headCleaner{Conn: secure, keeping: keeping{kept: kept}}, nil
		case ctx.Err() != nil:
			conn.Close()
			return nil, err
		default:
			conn.Close()
			return nil, &handshakeError{err}
		}
	}
}

// headCleaner is a connection for HTTP responses. It removes from the head the
// lines that are not a header, and repairs those that say how the body is sent. net/http
// refuses a response with such a line; browsers, aria2 or curl accept them.
type headCleaner struct {
	net.Conn
	in     *bufio.Reader
	head   bytes.Reader // what is cleaned and not yet read
	body   bool         // the head is over
	ends   bodyEnds     // where the body may end, if the head contradicts itself
	chunks io.Reader    // the body, if it comes in chunks
	keeping
}

// Read implements [net.Conn].
func (c *headCleaner) Read(p []byte) (int, error) {
	if c.in == nil {
		c.in = bufio.NewReader(c.Conn)
	}
	for {
		if c.head.Len() > 0 {
			return c.head.Read(p)
		}
		if c.counted {
			return c.readCounted(p)
		}
		if c.body {
			return c.readBody(p)
		}
		if err := c.awaitResponse(); err != nil {
			return 0, err
		}
		head, err := c.readHead()
		if err != nil {
			return 0, err
		}
		c.head.Reset(head)
	}
}

// readHead reads up to the empty line that ends a head. A head that breaks off is passed to
// net/http unchanged; of one that cannot be repaired the error is a [HeadError].
func (c *headCleaner) readHead() ([]byte, error) {
	var head []byte
	var framing framing
	var held []byte // the last header line, which the next one may continue
	size := 0
	for first := true; ; first = false {
		line, err := c.readLine(maxHead - size)
		size += len(line)
		text := strings.TrimRight(string(line), "\r\n")
		end := line[len(text):]
		switch {
		case errors.Is(err, errLongHead):
			return nil, &HeadError{errLongHead.Error()}
		case err != nil:
			c.body = true
			if size > 0 {
				err = nil // the next read returns it
			}
			return append(append(head, held...), line...), err
		case first:
			status, ok := repairStatusLine(text)
			if !ok {
				return nil, &HeadError{fmt.Sprintf("its first line is %q", shortened(text))}
			}
			framing.setStatus(status, strings.HasPrefix(text, "HTTP/1.1 "))
			head = append(append(head, status...), end...)
			continue
		case text != "" && (text[0] == ' ' || text[0] == '\t'):
			if len(held) > 0 {
				held = append(append(held, ' '), strings.TrimLeft(text, " \t")...)
			}
			continue
		}
		if clean, ok := cleanHeader(string(held)); ok && framing.repair(&clean) {
			head = append(append(head, clean...), end...)
		}
		if held = append(held[:0], text...); text == "" {
			ending, err := c.beginBody(&framing, string(end))
			return append(append(head, ending...), line...), err
		}
	}
}

var errLongHead = errors.New("the head of the response is too long")

// readLine reads up to a line break, at most about limit bytes.
func (c *headCleaner) readLine(limit int) ([]byte, error) {
	var line []byte
	for {
		part, err := c.in.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case err == nil:
			return line, nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return line, err
		case len(line) > limit:
			return line, errLongHead
		}
	}
}

// statusLine is the first line of a response, its version as some servers write it.
var statusLine = regexp.MustCompile(`^(?i:HTTP/[0-9.]+|ICY)[ \t]+([1-9][0-9]{2})(?:[ \t](.*))?$`)

// repairStatusLine returns a status line with the version HTTP/1.1, or false for any other text.
// A response of HTTP/1.0 in chunks is decoded only so, and net/http knows no others.
func repairStatusLine(text string) (string, bool) {
	parts := statusLine.FindStringSubmatch(text)
	if parts == nil {
		return "", false
	}
	return "HTTP/1.1 " + strings.TrimRight(parts[1]+" "+parts[2], " "), true
}

// cleanHeader returns a header line without white space before its colon; false if
// it is not a header.
func cleanHeader(line string) (string, bool) {
	name, value, ok := strings.Cut(line, ":")
	name = strings.TrimRight(name, " \t")
	if !ok || name == "" {
		return "", false
	}
	for i := range len(name) {
		if !isTokenByte(name[i]) {
			return "", false
		}
	}
	clean := []byte(name + ":" + value) // by byte: the value need not be UTF-8
	for i, c := range clean {
		if c < ' ' && c != '\t' || c == 0x7f {
			clean[i] = ' '
		}
	}
	return string(clean), true
}

func isTokenByte(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0
}
