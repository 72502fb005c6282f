package download

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"io"
	"strconv"
)

// chunkReader decodes a body in chunks (RFC 9112, 7.1), up to its trailer. net/http/httputil
// refuses a body whose chunks are small and have long extensions, such as signatures.
type chunkReader struct {
	in    *bufio.Reader
	left  int64 // bytes of the current chunk
	begun bool  // a line break ends the bytes of a chunk before the next size
	err   error // of the next Read
}

var errChunk = errors.New("the server sends a chunk that cannot be read")

// Read implements [io.Reader]. An end before the last chunk is [io.ErrUnexpectedEOF].
func (r *chunkReader) Read(p []byte) (n int, err error) {
	for r.err == nil && n < len(p) {
		if n > 0 && !r.isBuffered() {
			return n, nil
		}
		if r.left == 0 {
			r.err = r.begin()
			continue
		}
		read, err := r.in.Read(p[n:][:min(int64(len(p)-n), r.left)]) // their sum could be too large for a number
		n, r.left = n+read, r.left-int64(read)
		r.err = unexpected(err)
	}
	if n > 0 {
		return n, nil
	}
	return 0, r.err
}

// isBuffered reports whether the next bytes of the body can be decoded without waiting.
func (r *chunkReader) isBuffered() bool {
	if r.left > 0 {
		return r.in.Buffered() > 0
	}
	next, _ := r.in.Peek(r.in.Buffered()) // no error: they are there
	if r.begun {
		next = next[min(len("\r\n"), len(next)):]
	}
	return bytes.IndexByte(next, '\n') >= 0
}

// begin reads the size of the next chunk. After the last one the error is [io.EOF].
func (r *chunkReader) begin() error {
	if r.begun {
		if line, err := r.readLine(); err != nil || len(line) > 0 {
			return cmp.Or(err, errChunk)
		}
	}
	line, err := r.readLine()
	if err != nil {
		return err
	}
	size, _, _ := bytes.Cut(line, []byte{';'})
	n, err := strconv.ParseUint(string(bytes.TrimRight(size, " \t")), 16, 63)
	if err != nil {
		return errChunk
	}
	if n == 0 {
		return io.EOF
	}
	r.left, r.begun = int64(n), true
	return nil
}

// readLine returns a line without its end, which must be a carriage return and a line feed.
func (r *chunkReader) readLine() ([]byte, error) {
	line, err := r.in.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		return nil, errChunk
	}
	if err != nil {
		return nil, unexpected(err)
	}
	text, ok := bytes.CutSuffix(line, []byte("\r\n"))
	if !ok || bytes.IndexByte(text, '\r') >= 0 {
		return nil, errChunk
	}
	return text, nil
}

// unexpected returns the error of an end inside the body.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
