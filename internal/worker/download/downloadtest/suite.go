package downloadtest

import (
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aria-cluster/dispatcher/internal/worker/download"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// New makes an engine with four slots and a state folder; the suite closes it.
type New func(t *testing.T, stateDir string) download.Engine

// harness has the engine of a test. Most tests share one engine, which also shows that
// tasks do not disturb each other. Tests that close an engine open their own.
type harness struct {
	shared download.Engine
	open   New
}

// Run runs the whole suite.
func Run(t *testing.T, newEngine New) {
	h := harness{shared: newEngine(t, t.TempDir()), open: newEngine}
	t.Cleanup(func() {
		if err := h.shared.Close(); err != nil {
			t.Error(err)
		}
	})
	tests := map[string]func(*testing.T, harness){
		"a whole file has the bytes of its source":             wholeFile,
		"a closed download continues from its bytes":           resumeAfterClose,
		"a fresh link to the same file continues its bytes":    freshLink,
		"a removed job writes no more and leaves its bytes":    removeStops,
		"a job that is added twice is one":                     addTwice,
		"thirty jobs at once all complete":                     thirtyJobs,
		"an unknown id is removed without an error":            removeUnknown,
		"a missing file fails permanently":                     notFound,
		"temporary errors of a server are retried":             passingErrors,
		"a wrong checksum fails permanently":                   wrongChecksum,
		"a right checksum completes":                           rightChecksum,
		"drops after progress do not fail a job":               cutAgainAndAgain,
		"a server without ranges gives a whole file":           noRange,
		"a speed limit is kept":                                speedLimit,
		"an empty file completes":                              emptyFile,
		"a chunked file without a length completes":            chunked,
		"a redirect is followed":                               redirect,
		"an endless redirect fails permanently":                redirectLoop,
		"the options reach the server":                         options,
		"a line break in an option is refused":                 lineBreak,
		"a failed source is replaced by a mirror":              mirror,
		"names cannot leave the folder":                        fileNames,
		"messages contain no password":                         noPassword,
		"an empty user and password are not sent":              emptyUser,
		"a closed engine refuses":                              closed,
		"an unreachable host is retryable":                     noServer,
		"a second attempt completes over an earlier file":      overEarlier,
		"an error of one server status has its class and code": statuses,
	}
	maps.Copy(tests, hostile)
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, h)
		})
	}
}

// resumed is the speed of servers after an interruption, in bytes/s. Without any
// limit the buffers of loopback would swallow a whole file for a request that
// aria2 breaks off at once: its first one asks for the start of the file.
const resumed = 8 << 20

func wholeFile(t *testing.T, h harness) {
	data := Data(3 << 20)
	s := Serve(t, Content(data))
	e := h.shared
	for _, c := range []struct{ id, path, out, want string }{
		{"by-url", "/a%20b.bin", "", "a b.bin"},
		{"by-out", "/x.bin", "named.bin", "named.bin"},
		{"by-nothing", "/", "", "index.html"},
	} {
		job := Job(t, c.id, s.URL+c.path)
		if c.out != "" {
			job.Task.Options["out"] = model.OptionValue{c.out}
		}
		Add(t, e, job)
		if got := MustComplete(t, e, job, data); got != c.want {
			t.Errorf("%s: the file is named %q, want %q", c.id, got, c.want)
		}
		Remove(t, e, c.id)
		for name := range tree(t, job.Dir) { // an engine's own may stay: the worker removes it
			if name != c.want && !strings.HasSuffix(name, ".aria2") && !strings.HasPrefix(name, ".aria") {
				t.Errorf("%s: besides the file there is left: %s", c.id, name)
			}
		}
	}
}

func resumeAfterClose(t *testing.T, h harness) {
	data := Data(4 << 20)
	var throttle Throttle
	throttle.Set(2 << 20)
	s := Serve(t, throttle.Slow(Content(data)))
	job := Job(t, "resume", s.URL+"/file")
	state := t.TempDir()
	e := h.open(t, state)
	Add(t, e, job)
	Await(t, e, "resume", Reached(2<<20))
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	throttle.Set(resumed)
	again := h.open(t, state)
	t.Cleanup(func() {
		if err := again.Close(); err != nil {
			t.Error(err)
		}
	})
	Add(t, again, job)
	MustComplete(t, again, job, data)
	checkSent(t, s, data, 150)
}

// checkSent fails the test if the server sent more than a percentage of the file.
func checkSent(t *testing.T, s *Server, data []byte, percent int64) {
	t.Helper()
	if sent := s.Sent.Load(); sent > int64(len(data))*percent/100 {
		t.Errorf("the server sent %d bytes for a file of %d", sent, len(data))
	}
}

func removeStops(t *testing.T, h harness) {
	data := Data(4 << 20)
	var throttle Throttle
	throttle.Set(2 << 20)
	s := Serve(t, throttle.Slow(Content(data)))
	e := h.shared
	job := Job(t, "removed", s.URL+"/file")
	Add(t, e, job)
	Await(t, e, "removed", Reached(1<<20))
	Remove(t, e, "removed")
	before := tree(t, job.Dir)
	select {
	case <-s.Ended:
	case <-time.After(patience):
		t.Fatal("the connection lives on after Remove")
	}
	if after := tree(t, job.Dir); len(after) == 0 || !maps.Equal(before, after) {
		t.Fatalf("the folder changed after Remove, or is empty: before %v, after %v", keys(before), keys(after))
	}
	states, err := e.Poll(t.Context())
	if _, there := states["removed"]; there || err != nil {
		t.Fatalf("a removed job is still there: %v, %v", states, err)
	}
	throttle.Set(resumed)
	Add(t, e, job)
	MustComplete(t, e, job, data)
	checkSent(t, s, data, 150)
}

func addTwice(t *testing.T, h harness) {
	data := Data(100_000)
	s := Serve(t, Content(data))
	e := h.shared
	job := Job(t, "twice", s.URL+"/file")
	Add(t, e, job)
	Add(t, e, job)
	MustComplete(t, e, job, data)
	Add(t, e, job)
	states, err := e.Poll(t.Context())
	if err != nil || states["twice"].Phase != download.Complete {
		t.Errorf("a complete job was expected: %+v, %v", states["twice"], err)
	}
	if n := s.Requests.Load(); n != 1 {
		t.Errorf("the server had %d requests", n)
	}
}

func thirtyJobs(t *testing.T, h harness) {
	data := Data(200_000)
	s := Serve(t, Content(data))
	e := h.shared
	jobs := make([]download.Job, 30)
	for i := range jobs {
		jobs[i] = Job(t, fmt.Sprintf("job-%d", i), s.URL+"/same-name.bin")
		Add(t, e, jobs[i])
	}
	for _, job := range jobs {
		MustComplete(t, e, job, data)
	}
}

func removeUnknown(t *testing.T, h harness) {
	Remove(t, h.shared, "unknown")
}

func closed(t *testing.T, h harness) {
	e := h.open(t, t.TempDir())
	for range 2 {
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := e.Add(t.Context(), Job(t, "late", "http://127.0.0.1:1/")); err == nil {
		t.Error("Add after Close succeeds")
	}
	if _, err := e.Poll(t.Context()); err == nil {
		t.Error("Poll after Close succeeds")
	}
}

func overEarlier(t *testing.T, h harness) {
	data := Data(100_000)
	s := Serve(t, Content(data))
	e := h.shared
	job := Job(t, "over", s.URL+"/file")
	// As long as the file, and without any record of its source.
	if err := os.WriteFile(filepath.Join(job.Dir, "file"), make([]byte, len(data)), 0o644); err != nil {
		t.Fatal(err)
	}
	Add(t, e, job)
	MustComplete(t, e, job, data)
}

// tree returns the digest of every file under dir by its path.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := fs.WalkDir(os.DirFS(dir), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(filepath.Join(dir, path))
		files[path] = digest(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func keys(m map[string]string) []string {
	var names []string
	for name := range m {
		names = append(names, name)
	}
	return names
}
