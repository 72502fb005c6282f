package download

import (
	"bytes"
	"errors"
	"io"
	"strconv"
	"sync/atomic"
)

// keeping is the part of a [headCleaner] for connections that serve several requests. Only
// a plain response to GET with a Content-Length leaves its connection open: then the end of
// its body is known here too. All others get the header "Connection: close".
type keeping struct {
	kept    bool        // the connection may serve further requests
	asked   atomic.Bool // a request was written, and its response has not begun
	get     atomic.Bool // it is one of GET
	counted bool        // the body has left more bytes
	left    int64
	spoiled atomic.Bool // more than a body came: it must not be read as another response
}

var errSpoiled = errors.New("the server sent more than its response")

// Write implements [net.Conn]. The transport's buffer holds a whole request, so one call
// writes it. A longer one is taken for another method.
func (c *headCleaner) Write(p []byte) (int, error) {
	if c.spoiled.Load() {
		return 0, errSpoiled // nothing was written: net/http asks on another connection
	}
	if c.kept {
		c.get.Store(bytes.HasPrefix(p, []byte("GET ")))
		c.asked.Store(true)
	}
	return c.Conn.Write(p)
}

// awaitResponse waits for the first byte of a response. What a server sends without being
// asked is the end of the connection: net/http would print it.
func (c *headCleaner) awaitResponse() error {
	if !c.kept {
		return nil
	}
	if _, err := c.in.Peek(1); err != nil {
		return err
	}
	if !c.asked.Swap(false) {
		return io.EOF
	}
	return nil
}

// keep returns what is added to the head of a response on a connection that may be kept.
func (c *headCleaner) keep(f *framing) string {
	n, err := int64(-1), error(nil)
	if len(f.numbers) == 1 && len(f.odd) == 0 {
		n, err = strconv.ParseInt(f.numbers[0], 10, 64)
	}
	if !f.plain || err != nil || n < 0 || !c.get.Load() {
		return "Connection: close\r\n"
	}
	c.left, c.counted, c.body = n, n > 0, false
	return ""
}

// readCounted reads from a body of known length. After it the next response is awaited.
func (c *headCleaner) readCounted(p []byte) (int, error) {
	n, err := c.in.Read(p[:min(int64(len(p)), c.left)])
	c.left -= int64(n)
	if c.counted = c.left > 0; !c.counted && c.in.Buffered() > 0 {
		c.spoiled.Store(true)
	}
	return n, err
}
