package downloadtest

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"
)

// Data returns n bytes that no compression shortens, the same for each n.
func Data(n int) []byte {
	r := rand.NewChaCha8([32]byte{byte(n), byte(n >> 8), byte(n >> 16)})
	b := make([]byte, n)
	_, _ = r.Read(b) // never fails, by its documentation
	return b
}

// Server is an HTTP server on loopback that counts what it does.
type Server struct {
	*httptest.Server
	Requests atomic.Int64 // but HEAD, which moves no byte
	Sent     atomic.Int64 // bytes of bodies
	Ended    chan string  // the path of each such request that is over; the newest are lost when nobody reads
}

// Serve starts a server that ends with the test.
func Serve(t *testing.T, h http.Handler) *Server {
	t.Helper()
	s := newServer(h)
	s.Start()
	s.closeWith(t)
	return s
}

// newServer makes a server that is not started.
func newServer(h http.Handler) *Server {
	s := &Server{Ended: make(chan string, 1000)}
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodHead {
			s.Requests.Add(1)
		}
		defer func() {
			if r.Method == http.MethodHead {
				return
			}
			select {
			case s.Ended <- r.URL.Path:
			default:
			}
		}()
		h.ServeHTTP(&counter{ResponseWriter: w, sent: &s.Sent, head: r.Method == http.MethodHead}, r)
	}))
	return s
}

// closeWith closes the server at the end of the test.
func (s *Server) closeWith(t *testing.T) {
	t.Cleanup(func() {
		s.CloseClientConnections()
		s.Close()
	})
}

// counter counts the bytes of a body.
type counter struct {
	http.ResponseWriter
	sent *atomic.Int64
	head bool
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.ResponseWriter.Write(p)
	if !c.head {
		c.sent.Add(int64(n))
	}
	return n, err
}

func (c *counter) Unwrap() http.ResponseWriter { return c.ResponseWriter }

// Content serves data as a good server does: with ranges, an ETag and a date.
func Content(data []byte) http.Handler {
	tag := fmt.Sprintf(`"%x-%x"`, len(data), sum(data))
	modified := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", tag)
		http.ServeContent(w, r, "", modified, bytes.NewReader(data))
	})
}

func sum(data []byte) (s uint32) {
	for _, b := range data {
		s = s*31 + uint32(b)
	}
	return s
}

// NoRange hides from h that a range was asked for, and from the client that h
// could have given one.
func NoRange(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Header.Del("Range")
		h.ServeHTTP(&rangeless{ResponseWriter: w}, r)
	})
}

type rangeless struct{ http.ResponseWriter }

func (r *rangeless) WriteHeader(status int) {
	r.Header().Del("Accept-Ranges")
	r.ResponseWriter.WriteHeader(status)
}

func (r *rangeless) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// Cut breaks each of the first times connections after n bytes of the body; all
// of them, if times is negative.
func Cut(h http.Handler, n, times int) http.Handler {
	return counted(h, func(w http.ResponseWriter, r *http.Request, k int) {
		if times < 0 || k <= times {
			w = &cutter{ResponseWriter: w, left: n}
		}
		h.ServeHTTP(w, r)
	})
}

// counted calls serve with the number of each request for a body, from 1; h answers the
// others.
func counted(h http.Handler, serve func(w http.ResponseWriter, r *http.Request, k int)) http.Handler {
	var served atomic.Int64
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodHead {
			h.ServeHTTP(w, r)
			return
		}
		serve(w, r, int(served.Add(1)))
	})
}

type cutter struct {
	http.ResponseWriter
	left int
}

func (c *cutter) Write(p []byte) (int, error) {
	if len(p) < c.left {
		c.left -= len(p)
		return c.ResponseWriter.Write(p)
	}
	_, _ = c.ResponseWriter.Write(p[:c.left]) // it is broken in any case
	_ = http.NewResponseController(c.ResponseWriter).Flush()
	panic(http.ErrAbortHandler)
}

// Throttle is how fast a server sends; it can be changed while it does.
type Throttle struct {
	rate atomic.Int64 // bytes/s of each connection; 0 = no limit
}

// Set changes the rate, in bytes/s of each connection; 0 is no limit.
func (t *Throttle) Set(rate int64) { t.rate.Store(rate) }

// Slow holds h to the throttle.
func (t *Throttle) Slow(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.ServeHTTP(&slow{ResponseWriter: w, r: r, throttle: t}, r)
	})
}

type slow struct {
	http.ResponseWriter
	r        *http.Request
	throttle *Throttle
}

func (s *slow) Write(p []byte) (int, error) {
	const tick = 20 * time.Millisecond
	written := 0
	for written < len(p) {
		rate := s.throttle.rate.Load()
		if rate == 0 {
			n, err := s.ResponseWriter.Write(p[written:])
			return written + n, err
		}
		share := max(int(rate*int64(tick)/int64(time.Second)), 1)
		n, err := s.ResponseWriter.Write(p[written:min(len(p), written+share)])
		written += n
		if err == nil {
			err = http.NewResponseController(s.ResponseWriter).Flush()
		}
		if err != nil {
			return written, err
		}
		select {
		case <-time.After(tick):
		case <-s.r.Context().Done():
			return written, s.r.Context().Err()
		}
	}
	return written, nil
}

// FirstAnswer gives these statuses to the first requests, then leaves the rest
// to h.
func FirstAnswer(h http.Handler, statuses ...int) http.Handler {
	return counted(h, func(w http.ResponseWriter, r *http.Request, k int) {
		if k <= len(statuses) {
			http.Error(w, "not now", statuses[k-1])
			return
		}
		h.ServeHTTP(w, r)
	})
}
