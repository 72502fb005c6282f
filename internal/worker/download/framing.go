package download

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// HeadError is the error of a response whose head does not say where its body ends, or is
// not HTTP. aria2 may take a part of such a body for the whole file.
type HeadError struct{ reason string }

func (e *HeadError) Error() string {
	return "the server sends a response that cannot be read: " + e.reason
}

// shortened cuts text of a server for an error.
func shortened(text string) string { return text[:min(len(text), 40)] }

// framing repairs the headers of one head that say where the body ends.
type framing struct {
	interim bool // the status is 1xx: another response comes
	success bool // the status is 2xx: the body may be a file
	plain   bool // with the status a body follows, and no header but Content-Length bounds it

	chunked bool
	coding  string   // a transfer encoding that is not known
	numbers []string // the distinct lengths that begin with a number
	odd     []string // the first values that are not a number alone
}

// setStatus reads a repaired status line. current says that it had the version HTTP/1.1.
func (f *framing) setStatus(line string, current bool) {
	status := strings.TrimPrefix(line, "HTTP/1.1 ")[:3]
	f.interim = status[0] == '1' && status != "101"
	f.success = status[0] == '2'
	f.plain = current && (status == "200" || status == "206")
}

// repair writes a header as net/http accepts it. It is false for one that must be left
// out: transfer encodings, because [headCleaner] itself decodes chunks, and lengths, which
// [framing.lengthLines] returns.
func (f *framing) repair(text *string) bool {
	name, value, _ := strings.Cut(*text, ":")
	switch {
	case strings.EqualFold(name, "Transfer-Encoding"):
		f.plain = false
		for coding := range strings.SplitSeq(value, ",") {
			switch coding = strings.TrimSpace(coding); {
			case strings.EqualFold(coding, "chunked"):
				f.chunked = true
			case coding != "" && !strings.EqualFold(coding, "identity"):
				f.coding = coding
			}
		}
		return false
	case strings.EqualFold(name, lengthsHeader):
		return false // only [framing.lengthLines] sets it
	case strings.EqualFold(name, "Content-Length"):
		for length := range strings.SplitSeq(value, ",") {
			f.addLength(strings.TrimPrefix(strings.TrimSpace(length), "+"))
		}
		return false
	}
	return true
}

// maxLengths bounds the distinct lengths of one head. One with more is refused.
const maxLengths = 16

// addLength notes one value of Content-Length. Of "5 bytes" the number counts.
func (f *framing) addLength(value string) {
	number := value[:len(value)-len(strings.TrimLeft(value, "0123456789"))]
	if number != value || number == "" {
		if len(f.odd) < maxLengths {
			f.odd = append(f.odd, shortened(value))
		}
		if number == "" {
			return
		}
	}
	if number = strings.TrimLeft(number, "0"); number == "" {
		number = "0"
	}
	if len(f.numbers) <= maxLengths && !slices.Contains(f.numbers, number) {
		f.numbers = append(f.numbers, number)
	}
}

// lengthLines returns the header lines of the lengths, with that line end. If they differ,
// or one is not a number alone, it returns [lengthsHeader] instead: the body then ends with
// the connection, and only at one of the lengths.
func (f *framing) lengthLines(end string) (string, bodyEnds, error) {
	certain := len(f.numbers) < 2 && len(f.odd) == 0
	switch {
	case !f.success: // the body is not used, and net/http would wait for it before it follows a redirect
		return "Content-Length: 0" + end, bodyEnds{}, nil
	case f.coding != "":
		return "", bodyEnds{}, &HeadError{fmt.Sprintf("its transfer encoding is %q", shortened(f.coding))}
	case f.chunked || len(f.numbers) == 0 && certain:
		return "", bodyEnds{}, nil
	case certain:
		return "Content-Length: " + f.numbers[0] + end, bodyEnds{}, nil
	}
	refused := &HeadError{fmt.Sprintf("its lengths are %.200q", append(slices.Clone(f.numbers), f.odd...))}
	var ends bodyEnds
	for _, number := range f.numbers {
		n, err := strconv.ParseInt(number, 10, 64)
		if err != nil || n == 0 { // a lost connection looks like an end at 0
			return "", bodyEnds{}, refused
		}
		ends.at = append(ends.at, n)
	}
	if len(ends.at) == 0 || len(ends.at) > maxLengths {
		return "", bodyEnds{}, refused
	}
	return lengthsHeader + ": " + strings.Join(f.numbers, ", ") + end, ends, nil
}

// lengthsHeader is set in a response whose head has several lengths, or a doubtful one.
const lengthsHeader = "Aria-Several-Lengths"

// SeveralLengths reports whether a response of [NewClient] has several values of
// Content-Length, or one that is not a number alone, so that clients disagree about its
// end. Its ContentLength is -1.
func SeveralLengths(resp *http.Response) bool { return resp.Header.Get(lengthsHeader) != "" }

// bodyEnds are the positions where the body of a response with several lengths may end.
// RFC 9112, 6.3 lets a client refuse such a response; aria2 and curl accept it.
type bodyEnds struct {
	at    []int64
	count int64 // bytes of the body that were read
}

// endWait is how long more bytes are awaited after the largest of several lengths.
const endWait = time.Second

var errNoEnd = &HeadError{"its body ends at none of the lengths in its head"}

// readBody reads from the body as [io.Reader] does. With several lengths an end of the
// connection elsewhere is [io.ErrUnexpectedEOF], and more bytes are an error too.
func (c *headCleaner) readBody(p []byte) (int, error) {
	b := &c.ends
	switch {
	case c.chunks != nil:
		return c.chunks.Read(p)
	case len(b.at) == 0:
		return c.in.Read(p)
	}
	left := slices.Max(b.at) - b.count
	if left == 0 {
		return 0, c.awaitEnd()
	}
	n, err := c.in.Read(p[:min(int64(len(p)), left)])
	b.count += int64(n)
	if err == io.EOF && !slices.Contains(b.at, b.count) {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// awaitEnd returns [io.EOF] if no byte follows. A server that keeps its connection open
// sends none either.
func (c *headCleaner) awaitEnd() error {
	if err := c.SetReadDeadline(time.Now().Add(endWait)); err != nil {
		return err
	}
	if _, err := c.in.Peek(1); err == nil || errors.Is(err, bufio.ErrBufferFull) {
		return errNoEnd
	}
	return io.EOF
}

// beginBody begins the body of a response, and returns what is added to its head.
func (c *headCleaner) beginBody(f *framing, end string) (string, error) {
	if f.interim {
		c.asked.Store(true) // the response is still to come
		return "", nil
	}
	lines, ends, err := f.lengthLines(end)
	if err != nil {
		return "", err
	}
	c.body, c.ends = true, ends
	if f.chunked {
		c.chunks = &chunkReader{in: c.in} // net/http would fail for a trailer that is no header
	}
	if c.kept {
		lines += c.keep(f)
	}
	return lines, nil
}
