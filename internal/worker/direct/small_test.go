package direct

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aria-cluster/dispatcher/internal/worker/download"
	"github.com/aria-cluster/dispatcher/internal/worker/download/downloadtest"
)

// counting returns a server of data, and counts its connections.
func counting(t *testing.T, data []byte) (url string, connections *atomic.Int64) {
	t.Helper()
	connections = new(atomic.Int64)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
	}))
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections.Add(1)
		}
	}
	s.Start()
	t.Cleanup(s.Close)
	return s.URL, connections
}

// Tasks of one host share connections, unless one of them has a password or a header.
func TestJob_TasksWithoutCredentialsShareConnections(t *testing.T) {
	data := bytes.Repeat([]byte("a"), 1000)
	for name, c := range map[string]struct {
		options []string
		user    string
		want    int64
	}{
		"nothing":         {nil, "", 1},
		"a file name":     {[]string{"out", "x"}, "", 1},
		"a header":        {[]string{"header", "X-A: b"}, "", 5},
		"a password":      {[]string{"http-user", "u", "http-passwd", "p"}, "", 5},
		"one in the URL":  {nil, "u:p@", 5},
		"a referer":       {[]string{"referer", "http://x.example/"}, "", 5},
		"another timeout": {[]string{"connect-timeout", "7"}, "", 5},
	} {
		t.Run(name, func(t *testing.T) {
			url, connections := counting(t, data)
			url = strings.Replace(url, "http://", "http://"+c.user, 1)
			e := newDirect(t)
			for i := range 5 {
				job := downloadtest.Job(t, fmt.Sprint("t", i), url+"/file", c.options...)
				downloadtest.Add(t, e, job)
				downloadtest.MustComplete(t, e, job, data)
			}
			if n := connections.Load(); n != c.want {
				t.Errorf("%d connections, not %d", n, c.want)
			}
		})
	}
}

// A small file leaves nothing but itself in its folder. If it is stopped, its bytes are
// kept, and continued.
func TestJob_SmallFileIsWrittenOnceOrKept(t *testing.T) {
	data := bytes.Repeat([]byte("abcd"), 50_000)
	hold, ranges := make(chan struct{}), make(chan string, 2)
	s := downloadtest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"1"`)
		ranges <- r.Header.Get("Range")
		if r.Header.Get("Range") != "" {
			http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
			return
		}
		w.Header().Set("Content-Length", fmt.Sprint(len(data)))
		_, _ = w.Write(data[:100_000])
		_ = http.NewResponseController(w).Flush()
		select {
		case <-hold:
		case <-r.Context().Done():
		}
	}))
	defer close(hold)
	e := newDirect(t)
	job := downloadtest.Job(t, "small", s.URL+"/file")
	downloadtest.Add(t, e, job)
	downloadtest.Await(t, e, "small", downloadtest.Reached(100_000))
	downloadtest.Remove(t, e, "small")
	if list := listing(t, job.Dir); !strings.Contains(list, "file.part.map") || !strings.Contains(list, "file.part.json") {
		t.Fatalf("the folder has %s", list)
	}
	downloadtest.Add(t, e, job)
	downloadtest.MustComplete(t, e, job, data)
	if first, second := <-ranges, <-ranges; first != "" || second != "bytes=100000-199999" {
		t.Errorf("the ranges are %q and %q", first, second)
	}
	entries, err := os.ReadDir(job.Dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("the folder has %v, %v", entries, err)
	}
	if used := e.(*Engine).memory.used.Load(); used != 0 {
		t.Errorf("%d bytes of memory are still reserved", used)
	}
}

// The file that a crash cut off in its only write is fetched again.
func TestJob_CutSmallFileIsFetchedAgain(t *testing.T) {
	data := bytes.Repeat([]byte("abcd"), 5000)
	url, _ := counting(t, data)
	job := downloadtest.Job(t, "cut", url+"/file")
	if err := os.WriteFile(filepath.Join(job.Dir, "file"), data[:1000], 0o600); err != nil {
		t.Fatal(err)
	}
	e := newDirect(t)
	downloadtest.Add(t, e, job)
	downloadtest.MustComplete(t, e, job, data)
}

// Files in memory have a bound; a file beyond it goes to the disk.
func TestMemory_BoundIsKept(t *testing.T) {
	var m memory
	for range maxMemory / maxSmall {
		if !m.reserve(maxSmall) {
			t.Fatal("refused within the bound")
		}
	}
	if m.reserve(1) || m.used.Load() != maxMemory {
		t.Errorf("%d bytes are reserved", m.used.Load())
	}
}

// A file is hashed while it comes, or read again where its bytes did not come in order.
// Either way the checksum decides.
func TestVerify_ChecksumDecidesHoweverBytesCame(t *testing.T) {
	data := make([]byte, 5<<20)
	for i := range data {
		data[i] = byte(i >> 10)
	}
	whole := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"1"`)
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
	})
	for name, c := range map[string]struct {
		handler http.Handler
		options []string
	}{
		"in one response":     {whole, nil},
		"dropped in between":  {downloadtest.Cut(whole, 2_000_000, 1), nil},
		"in four connections": {whole, []string{"split", "4", "max-connection-per-server", "4", "min-split-size", "1M"}},
		"without a length": {http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_ = http.NewResponseController(w).Flush()
			_, _ = w.Write(data)
		}), nil},
	} {
		for _, sum := range []string{md5Of(data), md5Of(data[1:])} {
			t.Run(name+", "+sum[:4], func(t *testing.T) {
				t.Parallel()
				s := downloadtest.Serve(t, c.handler)
				e := newDirect(t)
				job := downloadtest.Job(t, "sum", s.URL+"/file", c.options...)
				job.Task.Checksum = "md5=" + sum
				downloadtest.Add(t, e, job)
				if sum == md5Of(data) {
					downloadtest.MustComplete(t, e, job, data)
				} else if failure := downloadtest.MustFail(t, e, "sum"); failure.Code != download.CodeChecksum {
					t.Errorf("the failure is %+v", failure)
				}
			})
		}
	}
}

// A download claims the space that it still needs, and no more than it has: the length alone is
// only what a server says.
func TestClaim_IsAtMostWhatHasCome(t *testing.T) {
	for have, want := range map[int64]int64{0: 0, 10: 10, 400: 400, 500: 500, 700: 300, 1000: 0} {
		if claim := claimOf(newSpans([]interval{{0, have}}, 1000))(); claim != want {
			t.Errorf("with %d of 1000 bytes: %d, want %d", have, claim, want)
		}
	}
}
