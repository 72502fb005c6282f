package downloadtest

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// shortBody sends less than its Content-Length says.
func shortBody() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "200000")
		_, _ = w.Write(Data(100_000)) // the client sees that it is less
	})
}

// raw answers with these bytes and closes the connection.
func raw(head string, body []byte) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, buf, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		_, _ = buf.WriteString(head) // a client that is gone is no matter
		if r.Method != http.MethodHead {
			_, _ = buf.Write(body)
		}
		_ = buf.Flush()
	})
}

// silentBody sends the start of a body and then nothing.
func silentBody() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "200000")
		_, _ = w.Write(Data(1000))
		_ = http.NewResponseController(w).Flush()
		if r.Method != http.MethodHead {
			<-r.Context().Done()
		}
	})
}

// drip sends one byte each 30 ms.
func drip(data []byte) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", strconv.Itoa(len(data)))
		for i := range data {
			if r.Method == http.MethodHead {
				return
			}
			if _, err := w.Write(data[i : i+1]); err != nil {
				return
			}
			_ = http.NewResponseController(w).Flush()
			select {
			case <-r.Context().Done():
				return
			case <-time.After(30 * time.Millisecond):
			}
		}
	})
}

// editions serves one of several versions of a file, with what tells them apart.
type editions struct {
	data     [][]byte
	tag      func(i int) string    // the ETag of a version; nil: none
	modified func(i int) time.Time // nil: never said
	deaf     bool                  // If-Range is ignored
	now      atomic.Int64
}

func (e *editions) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	i := int(e.now.Load())
	if e.tag != nil {
		w.Header().Set("ETag", e.tag(i))
	}
	var modified time.Time
	if e.modified != nil {
		modified = e.modified(i)
	}
	if e.deaf {
		r.Header.Del("If-Range")
	}
	http.ServeContent(w, r, "", modified, bytes.NewReader(e.data[i]))
}

func tagOf(i int) string { return fmt.Sprintf(`"v%d"`, i) }

func dateOf(i int) time.Time { return time.Date(2020, 1, 1+i, 0, 0, 0, 0, time.UTC) }

// someEditions are two versions of a file in each way in which servers tell them
// apart.
func someEditions() map[string]*editions {
	const n = 2 << 20
	one := Data(n)
	two := bytes.Repeat([]byte("another"), n)[:n]
	return map[string]*editions{
		"etag":          {data: [][]byte{one, two}, tag: tagOf},
		"weak-etag":     {data: [][]byte{one, two}, tag: func(i int) string { return "W/" + tagOf(i) }},
		"date":          {data: [][]byte{one, two}, modified: dateOf},
		"both":          {data: [][]byte{one, two}, tag: tagOf, modified: dateOf},
		"etag-deaf":     {data: [][]byte{one, two}, tag: tagOf, deaf: true},
		"date-deaf":     {data: [][]byte{one, two}, modified: dateOf, deaf: true},
		"length":        {data: [][]byte{one, append(two[:n:n], "longer"...)}},
		"length-less":   {data: [][]byte{one, two[:n-5000]}},
		"etag-appears":  {data: [][]byte{one, two}, tag: func(i int) string { return []string{"", tagOf(1)}[i] }},
		"etag-vanishes": {data: [][]byte{one, two}, tag: func(i int) string { return []string{tagOf(0), ""}[i] }},
	}
}

// changesOnce cuts the first connection and has the second version from then on.
func changesOnce(e *editions) http.Handler {
	var once sync.Once
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodHead && r.Header.Get("Range") != "bytes=0-0" && e.now.Load() == 0 {
			defer once.Do(func() { e.now.Store(1) })
			w = &cutter{ResponseWriter: w, left: 900_000}
		}
		e.ServeHTTP(w, r)
	})
}

// changesAfterFailure is changesOnce with a few errors before the second version.
func changesAfterFailure(e *editions) http.Handler {
	change, failures := changesOnce(e), FirstAnswer(e, http.StatusServiceUnavailable, http.StatusServiceUnavailable)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if e.now.Load() == 0 {
			change.ServeHTTP(w, r)
			return
		}
		failures.ServeHTTP(w, r)
	})
}

// changing serves another version with each response, and cuts each.
func changing() http.Handler {
	one, two := Data(600_000), bytes.Repeat([]byte("x"), 600_000)
	var n atomic.Int64
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		k := n.Add(1)
		w.Header().Set("ETag", tagOf(int(k)))
		data := one
		if k%2 == 0 {
			data = two
		}
		if r.Method != http.MethodHead {
			w = &cutter{ResponseWriter: w, left: 200_000}
		}
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
	})
}

// gzipped returns a text and its compressed form.
func gzipped() (text, packed []byte) {
	text = []byte(strings.Repeat("so much the same ", 20_000))
	var buf bytes.Buffer
	z := gzip.NewWriter(&buf)
	_, _ = z.Write(text) // into memory
	_ = z.Close()
	return text, buf.Bytes()
}

// encoded serves a compressed body, whether or not the client accepts it.
func encoded(packed []byte) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		w.Header().Set("Content-Length", strconv.Itoa(len(packed)))
		_, _ = w.Write(packed)
	})
}

// always answers with a status and nothing else.
func always(status int) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) })
}

// errorStatuses are statuses without success, and the error of a task for each.
var errorStatuses = map[int]model.TaskError{
	204: {Class: model.ClassRetryable},
	304: {Class: model.ClassRetryable},
	402: {Code: 22, Class: model.ClassPermanent},
	403: {Code: 22, Class: model.ClassWorker},
	404: {Code: 3, Class: model.ClassPermanent},
	405: {Code: 22, Class: model.ClassPermanent},
	407: {Class: model.ClassPermanent},
	408: {Code: 22, Class: model.ClassRetryable},
	410: {Class: model.ClassPermanent},
	416: {Class: model.ClassPermanent},
	425: {Code: 22, Class: model.ClassRetryable},
	451: {Code: 22, Class: model.ClassPermanent},
	502: {Class: model.ClassRetryable},
	503: {Class: model.ClassRetryable},
	504: {Class: model.ClassRetryable},
	599: {Code: 22, Class: model.ClassRetryable},
}

// zeros is a file of n bytes that nobody stores.
type zeros struct{ n, at int64 }

func (z *zeros) Read(p []byte) (int, error) {
	n := min(int64(len(p)), z.n-z.at)
	if n == 0 {
		return 0, io.EOF
	}
	clear(p[:n])
	z.at += n
	return int(n), nil
}

func (z *zeros) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case 0:
		z.at = offset
	case 1:
		z.at += offset
	default:
		z.at = z.n + offset
	}
	return z.at, nil
}

// Zeros serves a file of n zeros.
func Zeros(n int64) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", fmt.Sprintf(`"zeros-%d"`, n))
		w.Header().Set("Content-Type", "application/octet-stream")
		http.ServeContent(w, r, "", time.Time{}, &zeros{n: n})
	})
}

// hostileNames are names that a file must not have, by the URL or by the header.
var hostileNames = map[string]struct{ path, disposition string }{
	"long":         {"/file", `attachment; filename="` + strings.Repeat("n", 300) + `"`},
	"long-url":     {"/" + strings.Repeat("u", 300), ""},
	"nul":          {"/a%00b", ""},
	"nul-header":   {"/file", `attachment; filename*=UTF-8''a%00b`},
	"newline":      {"/file", `attachment; filename*=UTF-8''a%0Ab`},
	"reserved":     {"/file", `attachment; filename="CON"`},
	"hidden":       {"/file", `attachment; filename=".bashrc"`},
	"empty":        {"/file", `attachment; filename=""`},
	"not-utf8":     {"/%ff%fe", ""},
	"right-to-lef": {"/file", "attachment; filename*=UTF-8''%E2%80%AEgpj.exe"},
	"ours":         {"/file", `attachment; filename=".aria-version.json"`},
}

// named serves data with a Content-Disposition, if there is one.
func named(disposition string, data []byte) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if disposition != "" {
			w.Header().Set("Content-Disposition", disposition)
		}
		Content(data).ServeHTTP(w, r)
	})
}

// headerSizes are the bytes of each header.
var headerSizes = map[string]int{"hundred": 10, "huge": 100_000}

// manyHeaders serves data with a hundred small headers, or fewer large ones.
func manyHeaders(size int, data []byte) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for i := range min(100, 1_000_000/size) {
			w.Header().Set(fmt.Sprintf("X-Header-%d", i), strings.Repeat("h", size))
		}
		Content(data).ServeHTTP(w, r)
	})
}

// notHTTP are the first bytes of servers that do not speak HTTP.
var notHTTP = map[string]string{
	"smtp": "220 mail.example ESMTP\r\n", "nothing": "", "binary": "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
	"bad-length": "HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello",
}

// wrongRanges answers every range with the start of the file, which only the
// Content-Range tells.
func wrongRanges() http.Handler {
	data := Data(1_000_000)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", tagOf(0))
		w.Header().Set("Accept-Ranges", "bytes")
		status := http.StatusOK
		if r.Header.Get("Range") != "" {
			status = http.StatusPartialContent
			w.Header().Set("Content-Range", fmt.Sprintf("bytes 0-%d/%d", len(data)-1, len(data)))
		}
		w.Header().Set("Content-Length", strconv.Itoa(len(data)))
		w.WriteHeader(status)
		if r.Method != http.MethodHead {
			_, _ = (&cutter{ResponseWriter: w, left: 400_000}).Write(data)
		}
	})
}
