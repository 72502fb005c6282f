package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// files serves one real file under every name, at a bounded rate for each
// request, and notes who came for what, and how much of it went out.
type files struct {
	*httptest.Server
	data   []byte
	sha256 string
	rate   int // bytes a second of one request; 0 = unbounded

	// Where they are set: pace is the rate of a request instead, asked for again and
	// again while it is served. refuse is the status that a request is answered with
	// instead of the file, 0 for none; a request that is being served is cut off.
	pace   func(*visit) int
	refuse func(*http.Request) int
	// who names the process at the other end of a connection.
	who func(address string) string

	mu   sync.Mutex
	gets map[string]int // path → requests for bytes of it
	all  []*visit
}

// visit is one request for the file.
type visit struct {
	path, who string    // never changed; the path has the query, if there is one
	sent      int64     // bytes of the body
	began     time.Time // before its first byte
	last      time.Time // before its latest bytes
	open      bool
}

func serveFile(t *testing.T, data []byte, rate int) *files {
	t.Helper()
	return serveFiles(t, &files{data: data, rate: rate})
}

// serveFiles begins to serve a file; all but its data may be left out.
func serveFiles(t *testing.T, f *files) *files {
	t.Helper()
	sum := sha256.Sum256(f.data)
	f.sha256, f.gets = hex.EncodeToString(sum[:]), make(map[string]int)
	f.Server = httptest.NewServer(http.HandlerFunc(f.handle))
	t.Cleanup(func() {
		f.CloseClientConnections() // a stopped worker would never close its own
		f.Close()
	})
	return f
}

func (f *files) handle(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.URL.Path, "/missing") {
		http.NotFound(w, r)
		return
	}
	if f.refuse != nil {
		if status := f.refuse(r); status != 0 {
			w.WriteHeader(status)
			return
		}
	}
	v := &visit{path: r.URL.RequestURI(), began: time.Now(), open: true}
	if f.who != nil {
		v.who = f.who(r.RemoteAddr)
	}
	f.note(func() {
		if r.Method == http.MethodGet {
			f.gets[v.path]++
		}
		f.all = append(f.all, v)
	})
	defer f.note(func() { v.open = false })
	w.Header().Set("ETag", `"`+f.sha256[:16]+`"`)
	http.ServeContent(&meteredWriter{ResponseWriter: w, files: f, visit: v, r: r}, r, "file.bin",
		time.Unix(1_700_000_000, 0), bytes.NewReader(f.data))
}

func (f *files) note(what func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	what()
}

func (f *files) count(path string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.gets[path]
}

// visits returns copies of those that match.
func (f *files) visits(match func(*visit) bool) []visit {
	f.mu.Lock()
	defer f.mu.Unlock()
	var list []visit
	for _, v := range f.all {
		if match(v) {
			list = append(list, *v)
		}
	}
	return list
}

// open is how many requests for any of the paths are being served.
func (f *files) open(paths ...string) int {
	return len(f.visits(func(v *visit) bool { return v.open && slices.Contains(paths, v.path) }))
}

// meteredWriter counts what goes out, and lets through a slice of the rate each
// 20 ms.
type meteredWriter struct {
	http.ResponseWriter
	files *files
	visit *visit
	r     *http.Request
}

func (m *meteredWriter) Write(b []byte) (n int, err error) {
	for len(b) > 0 {
		slice := len(b)
		rate := m.files.rate
		if m.files.pace != nil {
			rate = m.files.pace(m.visit)
		}
		if rate > 0 {
			slice = min(slice, max(rate/50, 1))
			select {
			case <-m.r.Context().Done():
				return n, m.r.Context().Err()
			case <-time.After(20 * time.Millisecond):
			}
		}
		if m.files.refuse != nil && m.files.refuse(m.r) != 0 {
			return n, http.ErrAbortHandler
		}
		m.files.note(func() { m.visit.last = time.Now() })
		k, err := m.ResponseWriter.Write(b[:slice])
		n, b = n+k, b[k:]
		m.files.note(func() { m.visit.sent += int64(k) })
		if err != nil {
			return n, err
		}
		if f, ok := m.ResponseWriter.(http.Flusher); ok && rate > 0 {
			f.Flush()
		}
	}
	return n, nil
}
