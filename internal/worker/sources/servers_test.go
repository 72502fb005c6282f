package sources

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/aria-cluster/dispatcher/internal/worker/download/downloadtest"
)

// good serves a file as a good server does.
func good(data []byte) http.Handler { return downloadtest.Content(data) }

// whole gives the file in one answer with a length, and knows no ranges.
func whole(w http.ResponseWriter, r *http.Request, status int, data []byte) {
	w.Header().Set("Content-Length", strconv.Itoa(len(data)))
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(data) // a client that left sees it
	}
}

// with serves the file with more headers, given as name, value, name, value. With a
// validator among them, the response has no other validator.
func with(headers ...string) func([]byte) http.Handler {
	return func(data []byte) http.Handler {
		serve := good(data)
		if slices.Contains(headers, "ETag") || slices.Contains(headers, "Last-Modified") {
			serve = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
			})
		}
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			for i := 0; i < len(headers); i += 2 {
				w.Header().Set(headers[i], headers[i+1])
			}
			serve.ServeHTTP(w, r)
		})
	}
}

// named serves the file with this Content-Disposition, byte for byte.
func named(disposition string) func([]byte) http.Handler {
	return head("HTTP/1.1 200 OK\r\nContent-Disposition: "+disposition+"\r\nContent-Length: $LEN\r\n", "")
}

// head answers each request with this head, then the file, then what follows it, and
// closes the connection. $LEN stands for the file's length.
func head(lines, after string) func([]byte) http.Handler {
	return func(data []byte) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			raw(w, r, strings.ReplaceAll(lines, "$LEN", strconv.Itoa(len(data))), data, after)
		})
	}
}

// raw writes an answer byte for byte.
func raw(w http.ResponseWriter, r *http.Request, lines string, body []byte, after string) {
	conn, buf, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer conn.Close()
	end := "\r\n"
	if !strings.Contains(lines, "\r") {
		end = "\n"
	}
	_, _ = buf.WriteString(lines + end) // a client that left sees it, here and below
	if r.Method != http.MethodHead {
		_, _ = buf.Write(body)
		_, _ = buf.WriteString(after)
	}
	_ = buf.Flush()
}

// chunked writes the file in chunks with this extension, and a trailer.
func chunked(extension, trailer string) func([]byte) http.Handler {
	return func(data []byte) http.Handler {
		body := chunksOf(data, "%x"+extension+"\r\n%s\r\n")
		return head("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n", "0\r\n"+trailer+"\r\n")(body)
	}
}

// inChunks answers with this head and the file in chunks, each written in this format.
func inChunks(lines, format string) func([]byte) http.Handler {
	return func(data []byte) http.Handler { return head(lines, "0\r\n\r\n")(chunksOf(data, format)) }
}

// chunksOf writes data in chunks, each in the format of a size and its bytes.
func chunksOf(data []byte, format string) []byte {
	var body bytes.Buffer
	for len(data) > 0 {
		n := min(len(data), 7000)
		fmt.Fprintf(&body, format, n, data[:n])
		data = data[n:]
	}
	return body.Bytes()
}

// method answers one method with a status and leaves the others to a good server.
func method(name string, status int) func([]byte) http.Handler {
	return func(data []byte) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == name {
				w.WriteHeader(status)
				return
			}
			good(data).ServeHTTP(w, r)
		})
	}
}

// once lets the first n requests with a body fail with the status.
func once(n int64, status int, headers ...string) func([]byte) http.Handler {
	return func(data []byte) http.Handler {
		var served atomic.Int64
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if served.Add(1) <= n {
				for i := 0; i < len(headers); i += 2 {
					w.Header().Set(headers[i], headers[i+1])
				}
				http.Error(w, "not now", status)
				return
			}
			good(data).ServeHTTP(w, r)
		})
	}
}

// moved redirects from /file.bin with this status and location to another path of
// the server, which has the file. Any other path but to is not found.
func moved(status int, location, to string) func([]byte) http.Handler {
	return func(data []byte) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch r.RequestURI {
			case "/file.bin":
				_, port, _ := strings.Cut(r.Host, ":")
				target := strings.NewReplacer("$HOST", r.Host, "$PORT", port).Replace(location)
				raw(w, r, fmt.Sprintf("HTTP/1.1 %d Moved\r\nLocation: %s\r\nContent-Length: 0\r\nConnection: close\r\n", status, target), nil, "")
			case to:
				good(data).ServeHTTP(w, r)
			default:
				http.Error(w, "not found: "+r.RequestURI, http.StatusNotFound)
			}
		})
	}
}

// cut breaks each of the first times answers with a body after half of the file.
func cut(h http.Handler, times int) http.Handler { return downloadtest.Cut(h, 100_000, times) }

// ranged answers ranges as h does and gives all else to other.
func ranged(ranges, other http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Range") != "" {
			ranges.ServeHTTP(w, r)
			return
		}
		other.ServeHTTP(w, r)
	})
}

// partial answers a range with the bytes from first to before end, and says so in its
// own words.
func partial(data []byte, contentRange string, first, end int) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if contentRange != "" {
			w.Header().Set("Content-Range", contentRange)
		}
		w.Header().Set("ETag", `"own"`)
		whole(w, r, http.StatusPartialContent, data[first:end])
	})
}

// rangeStart is where the range of a request begins.
func rangeStart(r *http.Request) int {
	text, _, _ := strings.Cut(strings.TrimPrefix(r.Header.Get("Range"), "bytes="), "-")
	n, _ := strconv.Atoi(text)
	return n
}

// bounded gives at most limit bytes of a range.
func bounded(data []byte, limit int) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		first := min(rangeStart(r), len(data)-1)
		end := min(first+limit, len(data))
		w.Header().Set("ETag", `"own"`)
		w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", first, end-1, len(data)))
		whole(w, r, http.StatusPartialContent, data[first:end])
	})
}

// tagged serves the file with a new ETag or date in each answer.
func tagged(data []byte, tag func(n int64) string, modified func() time.Time) http.Handler {
	var n atomic.Int64
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		k := n.Add(1)
		if tag != nil {
			w.Header().Set("ETag", tag(k))
		}
		var date time.Time
		if modified != nil {
			date = modified().Add(time.Duration(k) * time.Second)
		}
		http.ServeContent(w, r, "", date, bytes.NewReader(data))
	})
}

// hang never answers.
func hang(r *http.Request) { <-r.Context().Done() }

// reset ends a connection without an answer.
func reset(w http.ResponseWriter) {
	if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
		conn.Close()
	}
}

// lenient is a listener whose connections may ask for a target with a bare percent
// sign, which net/http's server refuses: it is encoded on the way.
type lenient struct{ net.Listener }

func (l lenient) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &lenientConn{Conn: c, in: bufio.NewReader(c)}, nil
}

type lenientConn struct {
	net.Conn
	in    *bufio.Reader
	first []byte // what is left of the first line
	begun bool
}

var barePercent = regexp.MustCompile(`%(?:[^0-9A-Fa-f]|[0-9A-Fa-f][^0-9A-Fa-f])`)

// Read implements [net.Conn].
func (c *lenientConn) Read(p []byte) (int, error) {
	if !c.begun {
		c.begun = true
		line, err := c.in.ReadBytes('\n')
		c.first = barePercent.ReplaceAllFunc(line, func(b []byte) []byte { return append([]byte("%25"), b[1:]...) })
		if err != nil && len(line) == 0 {
			return 0, err
		}
	}
	if len(c.first) > 0 {
		n := copy(p, c.first)
		c.first = c.first[n:]
		return n, nil
	}
	return c.in.Read(p)
}
