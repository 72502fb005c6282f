package sources

import (
	"bytes"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/aria-cluster/dispatcher/internal/worker/download/downloadtest"
)

const okLine = "HTTP/1.1 200 OK\r\n"

// answers are behaviours in the form of an answer.
func answers() []behaviour {
	return []behaviour{
		{name: "a good server", serve: good},
		{name: "an empty file", empty: true, serve: good},
		{name: "an empty file in chunks", empty: true, serve: head(okLine+"Transfer-Encoding: chunked\r\n", "0\r\n\r\n")},
		{name: "an empty file without a length", empty: true, serve: head(okLine, "")},
		{name: "status 201", verdict: "no ok ok ok", serve: head("HTTP/1.1 201 Created\r\nContent-Length: $LEN\r\n", "")},
		{name: "status 202", verdict: "no ok no no", serve: head("HTTP/1.1 202 Accepted\r\nContent-Length: $LEN\r\n", ""), reason: "the body is a message about unfinished work. The worker retries and does not save it as the file"},
		{name: "status 203", verdict: "no ok ok ok", serve: head("HTTP/1.1 203 Non-Authoritative\r\nContent-Length: $LEN\r\n", "")},
		{name: "status 204 without a body", verdict: "no ok no no", empty: true, serve: func([]byte) http.Handler { return http.HandlerFunc(status(204)) }, reason: "there is no content, so there is no file. curl creates an empty one"},
		{name: "status 206 for a request of the whole", serve: func(data []byte) http.Handler {
			return partial(data, fmt.Sprintf("bytes 0-%d/%d", len(data)-1, len(data)), 0, len(data))
		}},
		{name: "status 206 without a range", serve: func(data []byte) http.Handler { return partial(data, "", 0, len(data)) }},
		{name: "a Content-Range with an equals sign", serve: func(data []byte) http.Handler {
			return partial(data, fmt.Sprintf("bytes=0-%d/%d", len(data)-1, len(data)), 0, len(data))
		}},
		{name: "status 200 with a Content-Range", serve: head(okLine+"Content-Length: $LEN\r\nContent-Range: bytes 0-199999/$LEN\r\n", "")},
		{name: "status 200 without a reason", serve: head("HTTP/1.1 200\r\nContent-Length: $LEN\r\n", "")},
		{name: "HTTP/1.0 without a length", serve: head("HTTP/1.0 200 OK\r\n", "")},
		{name: "line feeds without carriage returns", serve: head("HTTP/1.1 200 OK\nContent-Length: $LEN\n", "")},
		{name: "a header line without a colon", verdict: "no no ok ok", serve: head(okLine+"this is no header\r\nContent-Length: $LEN\r\n", "")},
		{name: "a header line without a name", verdict: "no ok ok ok", serve: head(okLine+": nothing\r\nContent-Length: $LEN\r\n", "")},
		{name: "a header name with spaces", verdict: "no ok ok ok", serve: head(okLine+"My Header: x\r\nContent-Length: $LEN\r\n", "")},
		{name: "a space before the colon", verdict: "no ok ok ok", serve: head(okLine+"Content-Length : $LEN\r\n", "")},
		{name: "a header in capitals", serve: head(okLine+"CONTENT-LENGTH: $LEN\r\n", "")},
		{name: "a folded header", serve: head(okLine+"X-Long: a\r\n  b\r\nContent-Length: $LEN\r\n", "")},
		{name: "a header with a control character", serve: head(okLine+"X-Bell: a\x07b\r\nContent-Length: $LEN\r\n", "")},
		{name: "a header of 20 kB", serve: head(okLine+"X-Long: "+strings.Repeat("l", 20_000)+"\r\nContent-Length: $LEN\r\n", "")},
		{name: "a hundred headers", serve: head(okLine+strings.Repeat("X-Many: m\r\n", 100)+"Content-Length: $LEN\r\n", "")},
		{name: "the same length twice", serve: head(okLine+"Content-Length: $LEN\r\nContent-Length: $LEN\r\n", "")},
		{name: "a length with spaces around it", serve: head(okLine+"Content-Length:    $LEN  \r\n", "")},
		{name: "an interim answer first", serve: head("HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"+okLine+"Content-Length: $LEN\r\n", "")},
		{name: "a body longer than its length", serve: head(okLine+"Content-Length: $LEN\r\n", "more")},
		{name: "chunks", serve: chunked("", "")},
		{name: "chunks with extensions", serve: chunked(";name=value", "")},
		{name: "small chunks with long extensions", serve: func(data []byte) http.Handler {
			var body bytes.Buffer
			for part := range slices.Chunk(data, 64) {
				body.Write(chunksOf(part, "%x;signature="+strings.Repeat("s", 300)+"\r\n%s\r\n"))
			}
			return head(okLine+"Transfer-Encoding: chunked\r\n", "0\r\n\r\n")(body.Bytes())
		}},
		{name: "chunks with a trailer", serve: chunked("", "X-Trailer: t\r\n")},
		{name: "a gzip file with Content-Encoding", verdict: "no ok ok ok", serve: with("Content-Encoding", "gzip", "Content-Type", "application/x-gzip")},
		{name: "an unknown Content-Encoding", serve: with("Content-Encoding", "utf-8")},
		{name: "a type of a page for a file", serve: with("Content-Type", "text/html")},
		{name: "an ETag without quotes", serve: with("ETag", "abc")},
		{name: "an empty ETag", serve: with("ETag", "")},
		{name: "a Last-Modified that is no date", serve: with("Last-Modified", "yesterday")},
		{name: "a Last-Modified in the future", serve: with("Last-Modified", "Wed, 01 Jan 2098 00:00:00 GMT")},
		{name: "Accept-Ranges: none", serve: with("Accept-Ranges", "none")},
		{name: "Keep-Alive and then a close", serve: with("Connection", "keep-alive")},
	}
}

// framings are behaviours in the status and in how an answer says where the body ends.
func framings() []behaviour {
	return []behaviour{
		{name: "status 226", verdict: "no ok ok ok", serve: head("HTTP/1.1 226 IM Used\r\nContent-Length: $LEN\r\n", "")},
		{name: "status 299, which is unknown", verdict: "no ok ok ok", serve: head("HTTP/1.1 299 Fine\r\nContent-Length: $LEN\r\n", "")},
		{name: "status 205", verdict: "no ok no no", serve: head("HTTP/1.1 205 Reset Content\r\nContent-Length: $LEN\r\n", ""), reason: "there is no content, so there is no file"},
		{name: "status 207", verdict: "no ok no no", serve: head("HTTP/1.1 207 Multi-Status\r\nContent-Length: $LEN\r\n", ""), reason: "the body is a message about several files"},
		{name: "two lengths", verdict: "ok bytes ok ok", serve: head(okLine+"Content-Length: $LEN\r\nContent-Length: 5\r\n", "")},
		{name: "two lengths, the right one last", verdict: "bytes ok ok ok", serve: head(okLine+"Content-Length: 5\r\nContent-Length: $LEN\r\n", "")},
		{name: "two lengths, and the body has neither", verdict: "bytes no no no", serve: head(okLine+"Content-Length: 5\r\nContent-Length: 999999999\r\n", "")},
		{name: "status 206 with a total that is too large", verdict: "no ok no no", serve: func(data []byte) http.Handler {
			return partial(data, fmt.Sprintf("bytes 0-%d/999999", len(data)-1), 0, len(data))
		}, reason: "the server claims more bytes than it sends, and does not send the rest"},
		{name: "chunks of HTTP/1.0", serve: inChunks("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n", "%x\r\n%s\r\n")},
		{name: "chunks and a length", serve: inChunks(okLine+"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", "%x\r\n%s\r\n")},
		{name: "chunks with the encoding twice", serve: inChunks(okLine+"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "%x\r\n%s\r\n")},
		{name: "chunks with line feeds only", verdict: "no ok no no", serve: inChunks(okLine+"Transfer-Encoding: chunked\r\n", "%x\n%s\n"), reason: "such chunks are refused, because servers disagree about their ends (RFC 9112, 7.1)"},
		{name: "chunks with padded sizes", verdict: "no ok ok ok", serve: inChunks(okLine+"Transfer-Encoding: chunked\r\n", "%08x  \r\n%s\r\n")},
		{name: "the transfer encoding identity", verdict: "no ok ok ok", serve: head(okLine+"Transfer-Encoding: identity\r\nContent-Length: $LEN\r\n", "")},
		{name: "the same length twice in one line", verdict: "no ok ok ok", serve: head(okLine+"Content-Length: $LEN, $LEN\r\n", "")},
		{name: "a length with a plus sign", serve: head(okLine+"Content-Length: +$LEN\r\n", "")},
		{name: "the version HTTP/2 in a head of HTTP/1", serve: head("HTTP/2 200\r\nContent-Length: $LEN\r\n", "")},
		{name: "the version HTTP/1.2", verdict: "ok no ok ok", serve: head("HTTP/1.2 200 OK\r\nContent-Length: $LEN\r\n", "")},
		{name: "a version in lower case", serve: head("http/1.1 200 OK\r\nContent-Length: $LEN\r\n", "")},
		{name: "the version of SHOUTcast", verdict: "ok no ok ok", serve: head("ICY 200 OK\r\nContent-Length: $LEN\r\n", "")},
		{name: "status 206 with an unreadable range", verdict: "bytes ok ok ok", serve: func(data []byte) http.Handler { return partial(data, "whole", 0, len(data)) }},
		{name: "status 206 with a total of zero", verdict: "bytes ok ok ok", serve: func(data []byte) http.Handler {
			return partial(data, fmt.Sprintf("bytes 0-%d/0", len(data)-1), 0, len(data))
		}},
		{name: "status 206 with a range of a failure", verdict: "bytes ok ok ok", serve: func(data []byte) http.Handler {
			return partial(data, fmt.Sprintf("bytes */%d", len(data)), 0, len(data))
		}},
		{name: "status 206 with spaces around the slash", serve: func(data []byte) http.Handler {
			return partial(data, fmt.Sprintf("bytes 0-%d / %d", len(data)-1, len(data)), 0, len(data))
		}},
	}
}

// repetitions are behaviours that differ from one answer to the next.
func repetitions() []behaviour {
	list := []behaviour{
		{name: "an ETag that differs in each answer", serve: func(data []byte) http.Handler { return tagged(data, tag, nil) }},
		{name: "a weak ETag that differs in each answer", serve: func(data []byte) http.Handler {
			return tagged(data, func(n int64) string { return "W/" + tag(n) }, nil)
		}},
		{name: "a file that was modified just now in each answer", serve: func(data []byte) http.Handler { return tagged(data, nil, time.Now) }},
		{name: "a drop halfway", verdict: "ok no ok ok", serve: func(data []byte) http.Handler { return cut(good(data), 1) }},
		{name: "a drop halfway, without ranges", verdict: "no no ok ok", serve: func(data []byte) http.Handler {
			return cut(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { whole(w, r, 200, data) }), 1)
		}},
		{name: "a drop halfway and another ETag", verdict: "ok no ok ok", serve: func(data []byte) http.Handler { return cut(tagged(data, tag, nil), 1) }},
		{name: "a drop halfway and another ETag, with a checksum", verdict: "ok no ok ok", checksum: true, serve: func(data []byte) http.Handler { return cut(tagged(data, tag, nil), 1) }},
		{name: "drops and other ETags without end, with a checksum", verdict: "ok no ok ok", checksum: true, serve: func(data []byte) http.Handler { return cut(tagged(data, tag, nil), 2) }},
		{name: "a drop halfway, then ranges of 50 kB at most", verdict: "no no ok ok", serve: func(data []byte) http.Handler {
			return ranged(bounded(data, 50_000), cut(tagOwn(data), 1))
		}},
		{name: "a drop halfway, then 416", verdict: "no no ok ok", serve: func(data []byte) http.Handler { return ranged(http.HandlerFunc(status(416)), cut(tagOwn(data), 1)) }},
		{name: "a drop halfway, then a range from another start", verdict: "no no ok ok", serve: func(data []byte) http.Handler {
			return ranged(partial(data, fmt.Sprintf("bytes 4096-%d/%d", len(data)-1, len(data)), 4096, len(data)), cut(tagOwn(data), 1))
		}},
		{name: "a drop halfway, then a range of unknown total", verdict: "no no ok ok", serve: func(data []byte) http.Handler {
			return ranged(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				first := rangeStart(r)
				partial(data, fmt.Sprintf("bytes %d-%d/*", first, len(data)-1), first, len(data)).ServeHTTP(w, r)
			}), cut(tagOwn(data), 1))
		}},
		{name: "a drop halfway, then the rest with status 200", verdict: "ok no ok ok", serve: func(data []byte) http.Handler {
			return ranged(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				first := rangeStart(r)
				w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", first, len(data)-1, len(data)))
				w.Header().Set("ETag", `"own"`)
				whole(w, r, 200, data[first:])
			}), cut(tagOwn(data), 1))
		}},
		{name: "drops, and If-Range gets the whole file", verdict: "ok no ok ok", serve: func(data []byte) http.Handler { return ignoringIfRange(tagOwn(data)) }},
		{name: "drops, and a weak ETag", verdict: "ok no ok ok", serve: func(data []byte) http.Handler { return ignoringIfRange(with("ETag", `W/"own"`)(data)) }, options: map[string]string{"max-tries": "2"}},
		{name: "drops, and If-Range with a date gets the whole file", verdict: "ok no ok ok", serve: func(data []byte) http.Handler {
			return ignoringIfRange(with("Last-Modified", "Wed, 01 Jan 2020 00:00:00 GMT")(data))
		}, options: map[string]string{"max-tries": "2"}},
		{name: "drops, and ranges without validators", verdict: "ok no ok ok", serve: func(data []byte) http.Handler { return ranged(untagged(data), cut(tagOwn(data), -1)) }, options: map[string]string{"max-tries": "2"}},
		{name: "drops, and ranges without validators, with a checksum", verdict: "ok no ok ok", checksum: true, serve: func(data []byte) http.Handler { return ranged(untagged(data), cut(tagOwn(data), -1)) }},
		{name: "drops that come later each time, without ranges", verdict: "no no ok ok", serve: later},
		{name: "a drop halfway, then 403 once", verdict: "no no ok ok", serve: func(data []byte) http.Handler { return ranged(once(1, 403)(data), cut(good(data), 1)) }},
		{name: "a drop halfway, then 404 once", verdict: "no no ok ok", serve: func(data []byte) http.Handler { return ranged(once(1, 404)(data), cut(good(data), 1)) }},
		{name: "a pause halfway", serve: paused(time.Second)},
		{name: "a first byte after a second", serve: func(data []byte) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				select {
				case <-time.After(time.Second):
				case <-r.Context().Done():
				}
				good(data).ServeHTTP(w, r)
			})
		}},
		{name: "a first connection that is closed without an answer", verdict: "ok no ok ok", serve: func(data []byte) http.Handler {
			var n atomic.Int64
			return on(func(*http.Request) bool { return n.Add(1) == 1 }, func(w http.ResponseWriter, _ *http.Request) { reset(w) })(data)
		}},
		{name: "a body that ends before its length", verdict: "no no no no", serve: head(okLine+"Content-Length: 300000\r\n", ""), options: map[string]string{"max-tries": "2"}},
	}
	for code, verdict := range map[int]string{
		408: "no no ok ok", 500: "no no ok ok", 502: "no no ok ok", 504: "ok no ok ok",
	} {
		list = append(list, behaviour{name: fmt.Sprintf("%d once", code), verdict: verdict, serve: once(1, code)})
	}
	return append(list, refusals()...)
}

// refusals are servers that ask for a wait, once. A long wait, and each 429, is the
// dispatcher's: the attempt ends.
func refusals() []behaviour {
	var list []behaviour
	for _, status := range []int{429, 503} {
		for _, c := range []struct{ name, after, verdict string }{
			{"", "1", "no no ok ok"},
			{" as a date", time.Now().Add(time.Second).UTC().Format(http.TimeFormat), "no no ok ok"},
			{" in the past", "Wed, 21 Oct 2015 07:28:00 GMT", "no no ok ok"},
			{" that is no time", "soon", "no no ok ok"},
			{" below zero", "-5", "no no ok ok"},
			{" of 10^12 seconds", "1000000000000", "no no no no"},
		} {
			if status == 429 {
				c.verdict = "no no no no"
			}
			list = append(list, behaviour{
				name: fmt.Sprintf("%d once with Retry-After%s", status, c.name), verdict: c.verdict,
				serve: once(1, status, "Retry-After", c.after),
			})
		}
	}
	return list
}

func tag(n int64) string { return fmt.Sprintf(`"v%d"`, n) }

// tagOwn serves the file with the ETag that [partial] and [bounded] give.
func tagOwn(data []byte) http.Handler { return with("ETag", `"own"`)(data) }

// ignoringIfRange breaks each answer with the whole file, which is also the answer to
// each If-Range. It serves other ranges.
func ignoringIfRange(h http.Handler) http.Handler {
	dropped := ranged(h, cut(h, -1))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("If-Range") != "" {
			r.Header.Del("If-Range")
			r.Header.Del("Range")
		}
		dropped.ServeHTTP(w, r)
	})
}

// untagged serves ranges without a validator.
func untagged(data []byte) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Header.Del("If-Range")
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
	})
}

// later knows no ranges. It breaks each answer 20 kB later than the one before.
func later(data []byte) http.Handler {
	var n atomic.Int64
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodHead {
			n.Add(20_000)
		}
		downloadtest.Cut(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { whole(w, r, 200, data) }), int(n.Load())+1, 1).ServeHTTP(w, r)
	})
}

// paused stops in the middle of the file.
func paused(d time.Duration) func([]byte) http.Handler {
	return func(data []byte) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", fmt.Sprint(len(data)))
			if r.Method == http.MethodHead {
				return
			}
			half := len(data) / 2
			_, _ = w.Write(data[:half]) // a client that left sees it
			_ = http.NewResponseController(w).Flush()
			select {
			case <-time.After(d):
			case <-r.Context().Done():
			}
			_, _ = w.Write(data[half:])
		})
	}
}
