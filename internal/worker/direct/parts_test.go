package direct

import (
	"bytes"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/internal/worker/download"
	"github.com/aria-cluster/dispatcher/internal/worker/download/downloadtest"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// inParts are the options of a task that wants four connections.
var inParts = []string{"split", "4", "max-connection-per-server", "4", "min-split-size", "1M"}

// ranges notes which ranges were asked for, and counts requests at once. Each answer
// stops after its beginning until all that are wanted have come, and for as long as one
// more may come.
type ranges struct {
	mu        sync.Mutex
	asked     []string
	now, most int
	want      int           // requests at once
	full      chan struct{} // closed when as many have come
}

func newRanges(want int) *ranges { return &ranges{want: want, full: make(chan struct{})} }

func (r *ranges) of(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r.mu.Lock()
		r.asked = append(r.asked, req.Header.Get("Range"))
		r.now++
		if r.most = max(r.most, r.now); r.most == r.want && len(r.asked) == r.want {
			close(r.full)
		}
		r.mu.Unlock()
		defer func() {
			r.mu.Lock()
			r.now--
			r.mu.Unlock()
		}()
		h.ServeHTTP(&blockedWriter{ResponseWriter: w, until: r.full, gone: req.Context().Done()}, req)
	})
}

// blockedWriter waits after its first write.
type blockedWriter struct {
	http.ResponseWriter
	until <-chan struct{}
	gone  <-chan struct{} // closed when the client is
	begun bool
}

func (h *blockedWriter) Write(p []byte) (int, error) {
	n, err := h.ResponseWriter.Write(p)
	if !h.begun {
		h.begun = true
		_ = http.NewResponseController(h.ResponseWriter).Flush() // a client that is gone shows with the next write
		select {
		case <-h.until:
		case <-time.After(testbed.Patience):
		}
		select {
		case <-h.gone:
		case <-time.After(500 * time.Millisecond): // one more that is not wanted would come now
		}
	}
	return n, err
}

func (h *blockedWriter) Unwrap() http.ResponseWriter { return h.ResponseWriter }

// A file is fetched in as many parts as the task wants.
func TestFetch_UsesTheTasksConnections(t *testing.T) {
	t.Parallel()
	data := downloadtest.Data(5 << 20)
	for name, c := range map[string]struct {
		options []string
		handler func(http.Handler) http.Handler
		most    int
	}{
		"four":                          {inParts, nil, 4},
		"one where nothing is said":     {nil, nil, 1},
		"one where split is 1":          {[]string{"split", "1", "max-connection-per-server", "4", "min-split-size", "1M"}, nil, 1},
		"one where the file is short":   {[]string{"split", "4", "max-connection-per-server", "4", "min-split-size", "3M"}, nil, 1},
		"two where parts would be less": {[]string{"split", "4", "max-connection-per-server", "4", "min-split-size", "2M"}, nil, 2},
		"one without ranges":            {inParts, downloadtest.NoRange, 1},
		"one without a version":         {inParts, anonymous, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			seen := newRanges(c.most)
			h := downloadtest.Content(data)
			if c.handler != nil {
				h = c.handler(h)
			}
			s := downloadtest.Serve(t, seen.of(h))
			e := open(t, Config{})
			job := downloadtest.Job(t, "parts", s.URL+"/file", c.options...)
			downloadtest.Add(t, e, job)
			downloadtest.MustComplete(t, e, job, data)
			if seen.most != c.most {
				t.Errorf("%d connections at once, want %d: %q", seen.most, c.most, seen.asked)
			}
		})
	}
}

// anonymous takes away what tells one version from another.
func anonymous(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.ServeHTTP(&untaggedWriter{w}, r)
	})
}

type untaggedWriter struct{ http.ResponseWriter }

func (n *untaggedWriter) WriteHeader(status int) {
	n.Header().Del("ETag")
	n.Header().Del("Last-Modified")
	n.ResponseWriter.WriteHeader(status)
}

func (n *untaggedWriter) Unwrap() http.ResponseWriter { return n.ResponseWriter }

// A file comes without a stall from a server that answers a request only after the one before: the
// first response brings all that no mirror does.
func TestFetch_OneRequestAfterTheOther(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		size             int
		split, perServer string
		mirror           int64 // its bytes/s, 0 = no limit; -1: the task has no mirror
	}{
		"alone":                                 {32 << 20, "4", "4", -1}, // more than a connection buffers
		"with a mirror":                         {32 << 20, "5", "4", 0},
		"with a slow mirror, which has the end": {64 << 20, "4", "3", 1 << 20},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			data := downloadtest.Data(c.size)
			var one sync.Mutex
			s := downloadtest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				one.Lock()
				defer one.Unlock()
				if r.Context().Err() == nil {
					downloadtest.Content(data).ServeHTTP(w, r)
				}
			}))
			e := open(t, Config{})
			// A stall lasts longer than the test waits.
			job := downloadtest.Job(t, "parts", s.URL+"/file", "split", c.split, "max-connection-per-server", c.perServer, "min-split-size", "1M", "timeout", "600")
			if c.mirror >= 0 {
				var throttle downloadtest.Throttle
				throttle.Set(c.mirror)
				job.Task.Mirrors = []string{downloadtest.Serve(t, throttle.Slow(downloadtest.Content(data))).URL + "/file"}
			}
			downloadtest.Add(t, e, job)
			downloadtest.MustComplete(t, e, job, data)
			if sent := s.Sent.Load(); sent > int64(len(data))*3/2 {
				t.Errorf("the server sent %d bytes for a file of %d", sent, len(data))
			}
		})
	}
}

// Parts whose connection breaks are continued.
func TestFetch_BrokenPartsAreContinued(t *testing.T) {
	t.Parallel()
	data := downloadtest.Data(8 << 20)
	s := downloadtest.Serve(t, downloadtest.Cut(downloadtest.Content(data), 700_000, -1))
	e := open(t, Config{})
	job := downloadtest.Job(t, "cut", s.URL+"/file", append(inParts, "max-tries", "2")...)
	downloadtest.Add(t, e, job)
	downloadtest.MustComplete(t, e, job, data)
	if sent := s.Sent.Load(); sent > int64(len(data))*3/2 {
		t.Errorf("the server sent %d bytes for a file of %d", sent, len(data))
	}
}

// A server that allows one connection sends the file over one.
func TestFetch_OneAllowedConnectionCompletes(t *testing.T) {
	t.Parallel()
	data := downloadtest.Data(3 << 20)
	for _, status := range []int{http.StatusForbidden, http.StatusTooManyRequests, http.StatusServiceUnavailable, http.StatusNotFound} {
		t.Run(strconv.Itoa(status), func(t *testing.T) {
			t.Parallel()
			var throttle downloadtest.Throttle
			throttle.Set(16 << 20)
			var now atomic.Int64
			s := downloadtest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				defer now.Add(-1)
				if now.Add(1) > 1 {
					http.Error(w, "one at a time", status)
					return
				}
				throttle.Slow(downloadtest.Content(data)).ServeHTTP(w, r)
			}))
			e := open(t, Config{})
			job := downloadtest.Job(t, "alone", s.URL+"/file", append(inParts, "retry-wait", "1")...)
			downloadtest.Add(t, e, job)
			downloadtest.MustComplete(t, e, job, data)
		})
	}
}

// The file changes after the first response; the finished file is one version or the
// other.
func TestFetch_PartsOfAnotherVersionAreDiscarded(t *testing.T) {
	t.Parallel()
	before, after := bytes.Repeat([]byte("a"), 3<<20), bytes.Repeat([]byte("b"), 3<<20)
	for name, ignoring := range map[string]bool{"the server knows If-Range": false, "the server ignores If-Range": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var throttle downloadtest.Throttle
			throttle.Set(16 << 20)
			var served atomic.Int64
			s := downloadtest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				data := before
				if served.Add(1) > 1 {
					data = after
				}
				if ignoring {
					r.Header.Del("If-Range")
				}
				throttle.Slow(downloadtest.Content(data)).ServeHTTP(w, r)
			}))
			e := open(t, Config{})
			job := downloadtest.Job(t, "changing", s.URL+"/file", append(inParts, "retry-wait", "1")...)
			downloadtest.Add(t, e, job)
			state := downloadtest.Await(t, e, "changing", downloadtest.Ended)
			if state.Phase != download.Complete {
				t.Fatalf("%+v, %+v", state, state.Err)
			}
			got, err := os.ReadFile(filepath.Join(job.Dir, "file"))
			if err != nil || !bytes.Equal(got, before) && !bytes.Equal(got, after) {
				t.Errorf("a mix: %d bytes, %d of the first, %v", len(got), bytes.Count(got, []byte("a")), err)
			}
		})
	}
}

// A source that redirects each request to another mirror is asked once.
func TestFetch_PartsUseTheFirstConnectionsServer(t *testing.T) {
	t.Parallel()
	data := downloadtest.Data(8 << 20)
	seen := newRanges(4)
	mirror := downloadtest.Serve(t, seen.of(downloadtest.Content(data)))
	leaked := make(chan string, 100)
	other := downloadtest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		leaked <- r.Header.Get("Authorization") + r.Header.Get("Cookie")
		w.WriteHeader(http.StatusNotFound)
	}))
	var asked atomic.Int64
	source := downloadtest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		to := other.URL
		if asked.Add(1) == 1 {
			to = mirror.URL
		}
		http.Redirect(w, r, to+"/file", http.StatusFound)
	}))
	e := open(t, Config{})
	job := downloadtest.Job(t, "led", source.URL+"/file", append(inParts, "http-user", "me", "http-passwd", "pa55word")...)
	downloadtest.Add(t, e, job)
	downloadtest.MustComplete(t, e, job, data)
	if asked.Load() != 1 || seen.most != 4 {
		t.Errorf("the source was asked %d times; %d connections at once", asked.Load(), seen.most)
	}
}

// All downloads together keep to the bandwidth.
func TestEngine_BandwidthIsShared(t *testing.T) {
	t.Parallel()
	downloadtest.RunBandwidth(t, open(t, Config{Bandwidth: downloadtest.Bandwidth}))
}

// A connection that is too slow is closed.
func TestFetch_SlowConnectionIsClosed(t *testing.T) {
	begin := time.Now()
	for _, c := range []struct {
		limit  int64
		bytes  []int // one each second
		waited time.Duration
		slow   bool
	}{
		{0, []int{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, 0, false},
		{100, []int{50, 50, 50, 50, 50, 50, 50, 50, 50, 50, 50, 50}, 0, true},
		{100, []int{5000, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5000, 0}, 0, false},
		{100, []int{101, 101, 101, 101, 101, 101, 101, 101, 101, 101, 101, 101}, 0, false},
		{100, []int{50, 50, 50, 50, 50, 50, 50, 50, 50, 50, 50, 50}, time.Millisecond, false}, // it is our own limit
	} {
		s := slownessMeter{limit: c.limit}
		slow := false
		for i, n := range c.bytes {
			slow = slow || s.add(begin.Add(time.Duration(i)*time.Second), n, c.waited)
		}
		if slow != c.slow {
			t.Errorf("%+v: %v", c, slow)
		}
	}
	if got := failureOf(&model.Task{}, errSlow); got.Code != 5 || got.Class != model.ClassRetryable {
		t.Errorf("%+v", got)
	}
}

// The stall timeout is the task's, or else the worker's.
func TestSettings_StallTimeoutOfTaskOrWorker(t *testing.T) {
	for _, c := range []struct {
		option string
		want   time.Duration
	}{{"", 7 * time.Second}, {"3", 3 * time.Second}} {
		spec := &model.TaskSpec{Options: model.Options{}}
		if c.option != "" {
			spec.Options["timeout"] = model.OptionValue{c.option}
		}
		if got := settingsOf(spec, 7*time.Second).timeout; got != c.want {
			t.Errorf("timeout %q: %v", c.option, got)
		}
	}
}

// A process that downloads in parts is killed with SIGKILL; this process continues its
// download.
func TestFetch_KilledProcessKeepsWrittenBytes(t *testing.T) {
	if url := os.Getenv("DIRECT_TEST_URL"); url != "" {
		killed(t, url, os.Getenv("DIRECT_TEST_DIR"))
		return
	}
	t.Parallel()
	data := downloadtest.Data(16 << 20)
	var throttle downloadtest.Throttle
	throttle.Set(2 << 20)
	s := downloadtest.Serve(t, throttle.Slow(downloadtest.Content(data)))
	job := downloadtest.Job(t, "killed", s.URL+"/file", inParts...)
	for kill := 1; kill <= 3; kill++ {
		cmd := exec.Command(os.Args[0], "-test.run=^TestFetch_KilledProcessKeepsWrittenBytes$")
		cmd.Env = append(os.Environ(), "DIRECT_TEST_URL="+s.URL+"/file", "DIRECT_TEST_DIR="+job.Dir)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		deadline := time.Now().Add(20 * time.Second)
		for s.Sent.Load() < int64(kill)*(3<<20) && time.Now().Before(deadline) {
			download.Pause(t.Context(), time.Millisecond)
		}
		if err := cmd.Process.Signal(syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait() // it was killed
	}
	if names := listing(t, job.Dir); !strings.Contains(names, "file.part.map") {
		t.Fatalf("the killed process left %s", names)
	}
	throttle.Set(0)
	e := open(t, Config{})
	downloadtest.Add(t, e, job)
	downloadtest.MustComplete(t, e, job, data)
	// What was on its way at a kill is sent again: some buffers of the loopback.
	if sent := s.Sent.Load(); sent > int64(len(data))*11/10 {
		t.Errorf("the server sent %d bytes for a file of %d", sent, len(data))
	}
	if names := listing(t, job.Dir); names != "file" {
		t.Errorf("left: %s", names)
	}
}

func listing(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return strings.Join(names, " ")
}

// killed is what the process to be killed does.
func killed(t *testing.T, url, dir string) {
	t.Helper()
	e := open(t, Config{})
	job := downloadtest.Job(t, "killed", url, inParts...)
	job.Dir = dir
	downloadtest.Add(t, e, job)
	downloadtest.Await(t, e, "killed", downloadtest.Ended)
}
