package download

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
)

// ErrChanged says that a source has other bytes than those that came before.
var ErrChanged = errors.New("the file changed on the server while it was read")

// maxRereads bounds what a [Rereading] may read, in lengths of the file.
const maxRereads = 3

const rereadBuffer = 64 << 10

// Rereading compares a file with what one source sends of it a second time: the proof where
// nothing else ties its responses together. A response with other validators begins it again.
// It does not detect a source without validators that changes the file between two responses
// of the rereading itself.
type Rereading struct {
	Length int64 // of the file, in bytes

	at      int64  // bytes that are equal
	read    int64  // bytes that were read
	version string // the source and the validators of these
}

// IsDone reports whether every byte was compared.
func (r *Rereading) IsDone() bool { return r.at >= r.Length }

// IsTooLong reports whether more was read than a sound source needs.
func (r *Rereading) IsTooLong() bool { return r.read > maxRereads*r.Length }

// At returns how many bytes were compared.
func (r *Rereading) At() int64 { return r.at }

// Range returns the value of the header Range for the next request.
func (r *Rereading) Range() string {
	return "bytes=" + strconv.FormatInt(r.at, 10) + "-" + strconv.FormatInt(r.Length-1, 10)
}

// Begin takes the response to a request with Range for a file of total bytes, which must come from
// source. It fails with [ErrChanged] for another file, and with [io.ErrUnexpectedEOF] if the
// comparison begins again with the next request.
func (r *Rereading) Begin(resp *http.Response, source string, total int64) error {
	first, all, ok := ContentRange(resp.Header.Get("Content-Range"))
	version := strings.Join([]string{source, resp.Header.Get("ETag"), resp.Header.Get("Last-Modified")}, " ")
	switch status := resp.StatusCode; {
	case status == http.StatusPartialContent && ok && first == r.at && all == total:
		if first > 0 && version != r.version {
			r.at = 0
			return fmt.Errorf("%w: it has another version than while it was confirmed", io.ErrUnexpectedEOF)
		}
	case status == http.StatusOK && !ok && resp.ContentLength == total:
		r.at = 0 // the server sends the whole file again
	case status == http.StatusPartialContent, status == http.StatusOK, status == http.StatusRequestedRangeNotSatisfiable:
		return ErrChanged
	default:
		return NewResponseError(resp)
	}
	r.version = version
	return nil
}

// Compare compares the body of that response with the file. size limits one read, in bytes, and
// count is called with the bytes of each; both keep to a bandwidth. It fails with [ErrChanged] if
// bytes differ.
func (r *Rereading) Compare(body io.Reader, file io.ReaderAt, size func(int) int, count func(n int) error) error {
	got, want := make([]byte, rereadBuffer), make([]byte, rereadBuffer)
	for !r.IsDone() {
		n, err := body.Read(got[:min(int64(size(len(got))), r.Length-r.at)])
		if n > 0 {
			if _, err := file.ReadAt(want[:n], r.at); err != nil {
				return fmt.Errorf("read the file: %w", err)
			}
			if !bytes.Equal(got[:n], want[:n]) {
				return ErrChanged
			}
			r.at += int64(n)
			r.read += int64(n)
			if err := count(n); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) && !r.IsDone() {
			err = fmt.Errorf("the second reading ended at byte %d: %w", r.at, io.ErrUnexpectedEOF)
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
	}
	return nil
}
