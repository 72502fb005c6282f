package download

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// maxHead bounds the head of a response, in bytes.
const maxHead = 256 << 10

// dialTLS returns a function as [http.Transport.DialTLSContext], over connections of
// dial. The handshake takes at most timeout. kept says that a connection may serve further
// requests.
func dialTLS(dial func(ctx context.Context, network, address string) (net.Conn, error), timeout time.Duration, kept bool) func(ctx context.Context, network, address string) (net.Conn, error) {
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
		secure := tls.Client(conn, &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}})
		if err := secure.HandshakeContext(ctx); err != nil {
			conn.Close()
			return nil, err
		}
		return &headCleaner{Conn: secure, keeping: keeping{kept: kept}}, nil
	}
}

// headCleaner is a connection for HTTP responses. It removes from the head the
// lines that are not a header, and repairs those that say how the body is sent. net/http
// refuses a response with such a line; browsers, aria2 or curl accept them.
type headCleaner struct {
	net.Conn
	in   *bufio.Reader
	head bytes.Reader // what is cleaned and not yet read
	body bool         // the head is over
	ends bodyEnds     // where the body may end, if the head contradicts itself
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
			return c.ends.read(c.in, p)
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

// readHead reads up to the empty line that ends a head. After an error, or after
// [maxHead] bytes, it passes the rest to net/http unchanged.
func (c *headCleaner) readHead() ([]byte, error) {
	var head []byte
	var framing framing
	kept, interim := false, false // the previous header line; a response before the final one
	for first := true; ; first = false {
		line, err := c.readLine(maxHead - len(head))
		text := strings.TrimRight(string(line), "\r\n")
		status, isStatus := "", true
		if first {
			status, isStatus = repairStatusLine(text)
		}
		if err != nil || !isStatus {
			c.body = true
			if len(head)+len(line) > 0 {
				err = nil // the next read returns it
			}
			return append(head, line...), err
		}
		end := line[len(text):]
		switch {
		case first:
			interim = isInterim(status)
			framing.plain = strings.HasPrefix(text, "HTTP/1.1 200") || strings.HasPrefix(text, "HTTP/1.1 206")
			head = append(append(head, status...), end...)
		case text == "":
			c.body = !interim
			lengths, ends := framing.lengthLines(string(line))
			c.ends = ends
			head = append(head, lengths...)
			if c.kept && interim {
				c.asked.Store(true) // the response is still to come
			} else if c.kept {
				head = append(head, c.beginBody(&framing)...)
			}
			return append(head, line...), nil
		case text[0] == ' ' || text[0] == '\t': // it continues the line before
			if kept {
				head = append(head, line...)
			}
		default:
			if text, kept = cleanHeader(text); kept && framing.repair(&text) {
				head = append(append(head, text...), end...)
			}
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
var statusLine = regexp.MustCompile(`^(?i:HTTP/[0-9.]+|ICY)[ \t]+([1-9][0-9]{2}(?:[ \t].*)?)$`)

// repairStatusLine returns a status line with the version HTTP/1.1, or false for any other text.
// A response of HTTP/1.0 in chunks is decoded only so, and net/http knows no others.
func repairStatusLine(text string) (string, bool) {
	if parts := statusLine.FindStringSubmatch(text); parts != nil {
		return "HTTP/1.1 " + parts[1], true
	}
	return text, strings.HasPrefix(text, "HTTP/")
}

// framing repairs the headers of one head that say where the body ends.
type framing struct {
	chunked bool
	lengths []string // the distinct values of Content-Length
	plain   bool     // with the status a body follows, and no header but Content-Length bounds it
}

// repair writes a header as net/http accepts it. It is false for one that must be left
// out, because it says nothing: the encoding "identity", or chunked once more; and for
// a length, which [framing.lengthLines] returns.
func (f *framing) repair(text *string) bool {
	name, value, _ := strings.Cut(*text, ":")
	value = strings.TrimSpace(value)
	switch {
	case strings.EqualFold(name, "Transfer-Encoding"):
		repeated := f.chunked && strings.EqualFold(value, "chunked")
		f.chunked, f.plain = f.chunked || strings.EqualFold(value, "chunked"), false
		return !repeated && !strings.EqualFold(value, "identity")
	case strings.EqualFold(name, lengthsHeader):
		return false // only [framing.lengthLines] sets it
	case strings.EqualFold(name, "Content-Length"):
		for length := range strings.SplitSeq(value, ",") {
			length = strings.TrimPrefix(strings.TrimSpace(length), "+")
			if len(f.lengths) <= maxLengths && !slices.Contains(f.lengths, length) {
				f.lengths = append(f.lengths, length)
			}
		}
		return false
	}
	return true
}

// maxLengths bounds the distinct lengths of one head; net/http refuses a head with more.
const maxLengths = 4

// lengthLines returns the header lines of the lengths, with that line end. If they differ
// and each is a number, it returns [lengthsHeader] instead: the body then ends with the
// connection, and only at one of the lengths.
func (f *framing) lengthLines(end string) ([]byte, bodyEnds) {
	var lines []byte
	var ends bodyEnds
	for _, length := range f.lengths {
		lines = append(lines, "Content-Length: "+length+end...)
		if n, err := strconv.ParseInt(length, 10, 64); err == nil && n > 0 { // a lost connection looks like an end at 0
			ends.at = append(ends.at, n)
		}
	}
	if len(f.lengths) < 2 || len(f.lengths) > maxLengths || len(ends.at) < len(f.lengths) || f.chunked {
		return lines, bodyEnds{}
	}
	return []byte(lengthsHeader + ": " + strings.Join(f.lengths, ", ") + end), ends
}

// lengthsHeader is set in a response whose head has several lengths.
const lengthsHeader = "Aria-Several-Lengths"

// SeveralLengths reports whether a response of [NewClient] has several values of
// Content-Length, so that clients disagree about its end. Its ContentLength is -1.
func SeveralLengths(resp *http.Response) bool { return resp.Header.Get(lengthsHeader) != "" }

// bodyEnds are the positions where the body of a response with several lengths may end.
// RFC 9112, 6.3 lets a client refuse such a response; aria2 and curl accept it.
type bodyEnds struct {
	at    []int64
	count int64 // bytes of the body that were read
}

// read reads from r as [io.Reader] does. With several lengths it ends after the largest,
// and an end of r elsewhere is [io.ErrUnexpectedEOF].
func (b *bodyEnds) read(r io.Reader, p []byte) (int, error) {
	if len(b.at) == 0 {
		return r.Read(p)
	}
	left := slices.Max(b.at) - b.count
	if left == 0 {
		return 0, io.EOF
	}
	n, err := r.Read(p[:min(int64(len(p)), left)])
	b.count += int64(n)
	if err == io.EOF && !slices.Contains(b.at, b.count) {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// isInterim reports whether a status line is that of a 1xx response, after which
// another one comes.
func isInterim(line string) bool {
	_, status, _ := strings.Cut(line, " ")
	return strings.HasPrefix(strings.TrimLeft(status, " "), "1") && !strings.Contains(line, " 101")
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
