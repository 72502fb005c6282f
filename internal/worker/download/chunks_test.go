package download

import (
	"bufio"
	"errors"
	"io"
	"net/http/httputil"
	"strings"
	"testing"
	"testing/iotest"
)

// A body in chunks is decoded whatever the size of its chunks and extensions, up to its trailer.
func TestChunkReader_Bodies(t *testing.T) {
	long := strings.Repeat("x", 200)
	for name, c := range map[string]struct {
		body, want string
		err        error
	}{
		"small chunks with long extensions": {strings.Repeat("1;sig="+long+"\r\na\r\n", 1000) + "0\r\n", strings.Repeat("a", 1000), nil},
		"padded sizes":                      {"00000003 \t \r\nabc\r\n00;x\r\nX: y\r\n", "abc", nil},
		"sizes in both cases":               {"A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n", "01234567890123456789", nil},
		"no last chunk":                     {"3\r\nabc\r\n", "abc", io.ErrUnexpectedEOF},
		"an end in a chunk":                 {"4\r\nabc", "abc", io.ErrUnexpectedEOF},
		"an end in a size":                  {"3\r\nabc\r\n4", "abc", io.ErrUnexpectedEOF},
		"a chunk that is too long":          {"3\r\nabcd\r\n0\r\n", "abc", errChunk},
		"line feeds only":                   {"3\nabc\n0\n", "", errChunk},
		"a carriage return in a size":       {"3\r;\r\nabc\r\n0\r\n", "", errChunk},
		"no size":                           {"\r\nabc\r\n0\r\n", "", errChunk},
		"a negative size":                   {"-3\r\nabc\r\n0\r\n", "", errChunk},
		"a size with a prefix":              {"0x3\r\nabc\r\n0\r\n", "", errChunk},
		"a size beyond any file":            {"ffffffffffffffff\r\nabc", "", errChunk},
		"the largest size after a chunk":    {"1\r\nx\r\n7fffffffffffffff\r\nabc", "xabc", io.ErrUnexpectedEOF},
		"an endless size":                   {strings.Repeat("0", 5000), "", errChunk},
	} {
		for _, in := range []io.Reader{strings.NewReader(c.body), iotest.OneByteReader(strings.NewReader(c.body)), iotest.DataErrReader(strings.NewReader(c.body))} {
			got, err := io.ReadAll(&chunkReader{in: bufio.NewReader(in)})
			if string(got) != c.want || !errors.Is(err, c.err) {
				t.Errorf("%s: %.60q, %v, want %.60q, %v", name, got, err, c.want, c.err)
			}
		}
	}
}

// A read does not wait for a further chunk while it has bytes.
func TestChunkReader_ReturnsWhatHasArrived(t *testing.T) {
	in, out := io.Pipe()
	defer in.Close()
	go func() { _, _ = io.WriteString(out, "3\r\nabc\r\n3\r\nabc\r\n3") }() // the test sees a failure
	p := make([]byte, 10)
	if n, err := (&chunkReader{in: bufio.NewReader(in)}).Read(p); string(p[:n]) != "abcabc" || err != nil {
		t.Errorf("%q, %v", p[:n], err)
	}
}

// What httputil decodes is decoded in the same way.
func FuzzChunkReader(f *testing.F) {
	f.Add("3\r\nabc\r\n0\r\n")
	f.Add("3;x=y\r\nabc\r\n00\r\nX: y\r\n\r\n")
	f.Add("3\nabc\n0\n")
	f.Add("+3\r\nabc")
	f.Add("1\r\nx\r\n7fffffffffffffff\r\nabc")
	f.Fuzz(func(t *testing.T, body string) {
		want, err := io.ReadAll(httputil.NewChunkedReader(strings.NewReader(body)))
		got, own := io.ReadAll(&chunkReader{in: bufio.NewReader(strings.NewReader(body))})
		if err == nil && (own != nil || string(got) != string(want)) {
			t.Errorf("%q: %q, %v, httputil has %q", body, got, own, want)
		}
		if own == nil && err != nil && !strings.Contains(err.Error(), "too much non-data") {
			t.Errorf("%q: %q, httputil has %v", body, got, err)
		}
	})
}
