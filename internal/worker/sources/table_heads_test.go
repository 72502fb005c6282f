package sources

import (
	"fmt"
	"net/http"
	"strings"
)

// twoTries keeps a behaviour that fails short.
var twoTries = map[string]string{"max-tries": "2"}

// heads are behaviours in a head that contradicts itself, or that no standard permits.
func heads() []behaviour {
	return []behaviour{
		{name: "a folded length", verdict: "ok no ok ok", serve: head(okLine+"Content-Length:\r\n $LEN\r\n", "")},
		{name: "a first header line that is folded", verdict: "no no ok ok", serve: head(okLine+" Content-Length: 5\r\nContent-Length: $LEN\r\n", "")},
		{name: "a length beside one that is no number", verdict: "ok no ok ok", serve: head(okLine+"Content-Length: $LEN\r\nContent-Length: x\r\n", "")},
		{name: "a length after one that is no number", verdict: "no no ok ok", serve: head(okLine+"Content-Length: x\r\nContent-Length: $LEN\r\n", "")},
		{name: "a small length beside one that is no number", verdict: "bytes no no no", serve: head(okLine+"Content-Length: 5\r\nContent-Length: x\r\n", ""), options: twoTries},
		{name: "a length and an empty one", verdict: "ok no ok ok", serve: head(okLine+"Content-Length: $LEN\r\nContent-Length:\r\n", "")},
		{name: "an empty length", verdict: "bytes no no no", serve: head(okLine+"Content-Length:\r\n", ""), options: twoTries},
		{name: "a length with its unit", verdict: "no ok ok ok", serve: head(okLine+"Content-Length: $LEN bytes\r\n", "")},
		{name: "a length with leading zeros", serve: head(okLine+"Content-Length: 000$LEN\r\n", "")},
		{name: "a length with a fraction", verdict: "no ok ok ok", serve: head(okLine+"Content-Length: $LEN.0\r\n", "")},
		{name: "two lengths that are too small", verdict: "bytes bytes no no", serve: head(okLine+"Content-Length: 5\r\nContent-Length: 7\r\n", ""), options: twoTries},
		{name: "six lengths, the right one last", verdict: "bytes ok ok ok", serve: head(okLine+lengths(5)+"Content-Length: $LEN\r\n", "")},
		{name: "six lengths, the right one first", verdict: "ok bytes ok ok", serve: head(okLine+"Content-Length: $LEN\r\n"+lengths(5), "")},
		{name: "chunks with the encoding twice in one line", verdict: "no ok ok ok", serve: inChunks(okLine+"Transfer-Encoding: chunked, chunked\r\n", "%x\r\n%s\r\n")},
		{name: "chunks with the encoding identity in one line", verdict: "no ok ok ok", serve: inChunks(okLine+"Transfer-Encoding: identity, chunked\r\n", "%x\r\n%s\r\n")},
		{name: "an empty transfer encoding", verdict: "no ok ok ok", serve: head(okLine+"Transfer-Encoding:\r\nContent-Length: $LEN\r\n", "")},
		{name: "chunks with the encoding in capitals", serve: inChunks(okLine+"Transfer-Encoding: CHUNKED\r\n", "%x\r\n%s\r\n")},
		{name: "chunks with a trailer line without a colon", verdict: "ok no ok ok", serve: chunked("", "no trailer\r\n")},
		{name: "chunks with a folded trailer", serve: chunked("", "X-Trailer: a\r\n b\r\n")},
		{name: "chunks without the last line", verdict: "no no ok ok", serve: func(data []byte) http.Handler {
			return head(okLine+"Transfer-Encoding: chunked\r\n", "0\r\n")(chunksOf(data, "%x\r\n%s\r\n"))
		}},
		{name: "chunks without the last chunk", verdict: "no no no no", options: twoTries, serve: func(data []byte) http.Handler {
			return head(okLine+"Transfer-Encoding: chunked\r\n", "")(chunksOf(data, "%x\r\n%s\r\n"))
		}},
		{name: "chunks with sizes in capitals", serve: inChunks(okLine+"Transfer-Encoding: chunked\r\n", "%X\r\n%s\r\n")},
		{name: "status 206 with a range shorter than its body", verdict: "bytes ok ok ok", serve: func(data []byte) http.Handler { return partial(data, "bytes 0-1/2", 0, len(data)) }},
		{name: "status 206 with a range shorter than its body, of it", serve: func(data []byte) http.Handler {
			return partial(data, fmt.Sprintf("bytes 0-1/%d", len(data)), 0, len(data))
		}},
		{name: "status 206 with a range shorter than its body, of more", verdict: "no ok no no", serve: func(data []byte) http.Handler {
			return partial(data, fmt.Sprintf("bytes 0-1/%d", 2*len(data)), 0, len(data))
		}, options: twoTries, reason: "nothing says which of the bytes are those of the range"},
		{name: "status 200 with a range shorter than its body", verdict: "bytes ok ok ok", serve: head(okLine+"Content-Length: $LEN\r\nContent-Range: bytes 0-1/2\r\n", "")},
		{name: "status 206 of an unknown total for the whole", verdict: "bytes ok ok ok", serve: func(data []byte) http.Handler {
			return ranged(tagOwn(data), partial(data, fmt.Sprintf("bytes 0-%d/*", len(data)-1), 0, len(data)))
		}},
		{name: "status 206 of an unknown total for each request", verdict: "bytes ok ok ok", serve: func(data []byte) http.Handler {
			return partial(data, fmt.Sprintf("bytes 0-%d/*", len(data)-1), 0, len(data))
		}},
		{name: "status 206 with parts of an unknown total", verdict: "bytes bytes ok ok", serve: func(data []byte) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				first := rangeStart(r)
				if first >= len(data) {
					w.WriteHeader(http.StatusRequestedRangeNotSatisfiable)
					return
				}
				end := min(first+50_000, len(data))
				partial(data, fmt.Sprintf("bytes %d-%d/*", first, end-1), first, end).ServeHTTP(w, r)
			})
		}},
		{name: "status 206 with parts for each request", verdict: "no bytes ok ok", serve: func(data []byte) http.Handler { return bounded(data, 50_000) }},
		{name: "status 206 with another unit", verdict: "bytes ok ok ok", serve: func(data []byte) http.Handler { return partial(data, "items 0-1/2", 0, len(data)) }},
		{name: "a status 200 with a location", serve: head(okLine+"Location: /elsewhere\r\nContent-Length: $LEN\r\n", "")},
		{name: "three interim answers", serve: head(strings.Repeat("HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n", 3)+okLine+"Content-Length: $LEN\r\n", "")},
		{name: "a status line with spaces between", serve: head("HTTP/1.1   200   OK\r\nContent-Length: $LEN\r\n", "")},
		{name: "a status line with a tab", verdict: "ok no ok ok", serve: head("HTTP/1.1\t200\tOK\r\nContent-Length: $LEN\r\n", "")},
		{name: "a header with a NUL", verdict: "ok no ok ok", serve: head(okLine+"X-Nul: a\x00b\r\nContent-Length: $LEN\r\n", "")},
		{name: "a redirect with an empty length", verdict: "ok no ok ok", serve: redirectWith("Content-Length:\r\n")},
		{name: "a redirect with three lengths", serve: redirectWith(lengths(3))},
		{name: "a redirect in chunks", verdict: "ok no ok ok", serve: redirectWith("Transfer-Encoding: chunked\r\n")},
		{name: "a redirect without a length on an open connection", serve: redirectWith("Connection: keep-alive\r\n")},
		{name: "two locations", serve: moved(302, "/real/file.bin\r\nLocation: /other/file.bin", "/real/file.bin")},
		{name: "a location with a user", serve: moved(302, "http://me:secret@$HOST/real/file.bin", "/real/file.bin")},
		{name: "a folded location", verdict: "ok bytes ok ok", serve: moved(302, "\r\n /real/file.bin", "/real/file.bin")},
		{name: "a folded name", verdict: "ok name ok ok", file: "own name.bin", serve: named("attachment;\r\n filename=\"own name.bin\"")},
	}
}

// halves are behaviours that break the file off halfway, once, and then answer each range
// in a way that is no range.
func halves() []behaviour {
	var list []behaviour
	for _, c := range []struct {
		name, verdict string
		ranges        func(data []byte) http.HandlerFunc
	}{
		{"a page for each range", "no no ok ok", func([]byte) http.HandlerFunc {
			return func(w http.ResponseWriter, r *http.Request) { whole(w, r, 200, []byte("<html>a page</html>")) }
		}},
		{"204 for each range", "no no ok ok", func([]byte) http.HandlerFunc { return status(204) }},
		{"400 for each range", "no no ok ok", func([]byte) http.HandlerFunc { return status(400) }},
		{"ranges in several parts", "no no ok ok", func(data []byte) http.HandlerFunc {
			return func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "multipart/byteranges; boundary=own")
				first := rangeStart(r)
				whole(w, r, 206, fmt.Appendf(nil, "--own\r\nContent-Range: bytes %d-%d/%d\r\n\r\n%s\r\n--own--\r\n", first, len(data)-1, len(data), data[first:]))
			}
		}},
		{"ranges without a Content-Range", "no no ok ok", func(data []byte) http.HandlerFunc {
			return func(w http.ResponseWriter, r *http.Request) { whole(w, r, 206, data[rangeStart(r):]) }
		}},
	} {
		list = append(list, behaviour{name: "a drop halfway, then " + c.name, verdict: c.verdict, options: twoTries, serve: func(data []byte) http.Handler {
			return ranged(c.ranges(data), cut(tagOwn(data), 1))
		}})
	}
	return list
}

// lengths are the header lines of n lengths that differ.
func lengths(n int) string {
	var lines strings.Builder
	for i := range n {
		fmt.Fprintf(&lines, "Content-Length: %d\r\n", i+1)
	}
	return lines.String()
}

// redirectWith redirects with these header lines to a path that has the file. It says that it
// closes the connection: a client may ask there on it before it notices.
func redirectWith(lines string) func([]byte) http.Handler {
	return on(func(r *http.Request) bool { return r.URL.Path == "/file.bin" }, func(w http.ResponseWriter, r *http.Request) {
		raw(w, r, "HTTP/1.1 302 Found\r\nConnection: close\r\nLocation: /real/file.bin\r\n"+lines, nil, "")
	})
}
