package direct

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/aria-cluster/dispatcher/internal/worker/download/downloadtest"
)

// refusing sends the whole file, once up to byte cut if that is not 0, and answers ranges
// by refuse.
func refusing(data []byte, cut int, refuse http.HandlerFunc) http.Handler {
	whole := downloadtest.Content(data)
	if cut > 0 {
		whole = downloadtest.Cut(whole, cut, 1)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Range") != "" {
			refuse(w, r)
			return
		}
		whole.ServeHTTP(w, r)
	})
}

func answer(status int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }
}

func page(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html")
	_, _ = w.Write([]byte("<html>one connection only</html>")) // a client that left sees it
}

// A server that gives the file, and refuses each range of it, is asked for the whole file,
// with several connections and after a drop.
func TestWhole_RefusedRangesLeadToTheWholeFile(t *testing.T) {
	data := downloadtest.Data(4 << 20)
	for name, refuse := range map[string]http.HandlerFunc{
		"a page": page, "204": answer(204), "400": answer(400), "403": answer(403), "500": answer(500),
		"a broken connection": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"a byte less": func(w http.ResponseWriter, r *http.Request) {
			from, to, _ := strings.Cut(strings.TrimPrefix(r.Header.Get("Range"), "bytes="), "-")
			first, _ := strconv.Atoi(from)
			if end, err := strconv.Atoi(to); err == nil && end < len(data)-1 {
				r.Header.Set("Range", fmt.Sprintf("bytes=%d-%d", first, max(end-1, first)))
			}
			downloadtest.Content(data).ServeHTTP(w, r)
		},
	} {
		for _, c := range []struct {
			name    string
			cut     int
			options []string
		}{{"with parts", 0, inParts}, {"after a drop", 1 << 20, nil}} {
			t.Run(name+" "+c.name, func(t *testing.T) {
				t.Parallel()
				s := downloadtest.Serve(t, refusing(data, c.cut, refuse))
				e := newDirect(t)
				job := downloadtest.Job(t, "refused", s.URL+"/file", append([]string{"max-tries", "3"}, c.options...)...)
				downloadtest.Add(t, e, job)
				downloadtest.MustComplete(t, e, job, data)
			})
		}
	}
}

// A server that was ill until it is asked for the whole file continues it: the bytes that
// are present are used.
func TestWhole_RangeIsAskedOnceMore(t *testing.T) {
	data := downloadtest.Data(4 << 20)
	var wholes, continued atomic.Int64
	good := downloadtest.Content(data)
	serve := refusing(data, 3<<20, func(w http.ResponseWriter, r *http.Request) {
		if wholes.Load() < 2 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		continued.Add(1)
		good.ServeHTTP(w, r)
	})
	s := downloadtest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Range") == "" {
			wholes.Add(1)
		}
		serve.ServeHTTP(w, r)
	}))
	e := newDirect(t)
	job := downloadtest.Job(t, "ill", s.URL+"/file", "max-tries", "2")
	downloadtest.Add(t, e, job)
	downloadtest.MustComplete(t, e, job, data)
	if w, c := wholes.Load(), continued.Load(); w != 2 || c != 1 {
		t.Errorf("%d requests for the whole file and %d for the rest, want 2 and 1", w, c)
	}
}

// A page without validators is not taken for the file, also if each request brings one.
func TestWhole_PageIsNotTheFile(t *testing.T) {
	data := downloadtest.Data(4 << 20)
	var requests atomic.Int64
	serve := refusing(data, 1<<20, page)
	s := downloadtest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if requests.Add(1) > 1 {
			page(w, r)
			return
		}
		serve.ServeHTTP(w, r)
	}))
	e := newDirect(t)
	job := downloadtest.Job(t, "page", s.URL+"/file", "max-tries", "3")
	downloadtest.Add(t, e, job)
	failure := downloadtest.MustFail(t, e, "page")
	if !strings.Contains(failure.Message, "a page instead of the file") || !strings.Contains(failure.Message, "update the task's url") {
		t.Errorf("%+v", failure)
	}
}

// A drop near the beginning, of a file with a strong ETag, costs no second reading.
func TestConfirm_EarlyDropNeedsNone(t *testing.T) {
	data := downloadtest.Data(8 << 20)
	s := downloadtest.Serve(t, downloadtest.Cut(downloadtest.Content(data), 40_000, 1))
	e := newDirect(t)
	job := downloadtest.Job(t, "early", s.URL+"/file")
	downloadtest.Add(t, e, job)
	downloadtest.MustComplete(t, e, job, data)
	if sent := s.Sent.Load(); sent > int64(len(data))*11/10 {
		t.Errorf("%d bytes for a file of %d", sent, len(data))
	}
}
