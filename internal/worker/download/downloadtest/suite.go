package downloadtest

import (
	"fmt"
	"io/fs"
	"maps"
	"net/http"
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

// harness is what a test works with. Most share one engine, which also shows
// that tasks do not disturb each other; those that close one make their own.
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
		"a closed download goes on where it was":               resumeAfterClose,
		"a fresh link to the same file goes on with its bytes": freshLink,
		"a removed job writes no more and leaves its bytes":    removeStops,
		"a job that is added twice is one":                     addTwice,
		"thirty jobs at once all complete":                     thirtyJobs,
		"an unknown id is removed without a word":              removeUnknown,
		"a file that is not there fails for good":              notFound,
		"a server that is ill for a while is tried again":      passingErrors,
		"a wrong checksum fails for good":                      wrongChecksum,
		"a right checksum completes":                           rightChecksum,
		"drops after progress are no failure":                  cutAgainAndAgain,
		"a server without ranges gives a whole file":           noRange,
		"a speed limit is kept":                                speedLimit,
		"an empty file is a file":                              emptyFile,
		"a chunked file without a length completes":            chunked,
		"a redirect is followed":                               redirect,
		"an endless redirect fails for good":                   redirectLoop,
		"the options reach the server":                         options,
		"a line break in an option reaches nobody":             lineBreak,
		"a mirror helps out":                                   mirror,
		"names that lead out of the folder do not":             fileNames,
		"messages hold no password":                            noPassword,
		"a closed engine refuses":                              closed,
		"a host that is not there is retryable":                noServer,
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
	if sent := s.Sent.Load(); sent > int64(len(data))*3/2 {
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
	if sent := s.Sent.Load(); sent > int64(len(data))*3/2 {
		t.Errorf("the server sent %d bytes for a file of %d", sent, len(data))
	}
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
	Remove(t, h.shared, "nobody")
}

func notFound(t *testing.T, h harness) {
	s := Serve(t, http.NotFoundHandler())
	e := h.shared
	Add(t, e, Job(t, "gone", s.URL+"/file"))
	if err := MustFail(t, e, "gone"); err.Code != 3 || err.Class != model.ClassPermanent || err.Message == "" {
		t.Errorf("%+v", err)
	}
}

func passingErrors(t *testing.T, h harness) {
	data := Data(100_000)
	s := Serve(t, FirstAnswer(Content(data), 500, 503))
	e := h.shared
	job := Job(t, "ill", s.URL+"/file", "retry-wait", "1")
	Add(t, e, job)
	MustCompleteInTheEnd(t, e, job, data)
}

func wrongChecksum(t *testing.T, h harness) {
	s := Serve(t, Content(Data(100_000)))
	e := h.shared
	job := Job(t, "wrong", s.URL+"/file")
	job.Task.Checksum = "sha-256=" + digest([]byte("something else"))
	Add(t, e, job)
	if err := MustFail(t, e, "wrong"); err.Code != 32 || err.Class != model.ClassPermanent {
		t.Errorf("%+v", err)
	}
	if n := s.Requests.Load(); n != 2 {
		t.Errorf("one clean second try was expected, the server had %d requests", n)
	}
}

func rightChecksum(t *testing.T, h harness) {
	data := Data(100_000)
	s := Serve(t, Content(data))
	e := h.shared
	job := Job(t, "right", s.URL+"/file")
	job.Task.Checksum = "sha-256=" + digest(data)
	Add(t, e, job)
	MustComplete(t, e, job, data)
}

func cutAgainAndAgain(t *testing.T, h harness) {
	data := Data(2 << 20)
	s := Serve(t, Cut(Content(data), 300_000, -1))
	e := h.shared
	job := Job(t, "cut", s.URL+"/file", "max-tries", "2")
	Add(t, e, job)
	MustComplete(t, e, job, data)
	if sent := s.Sent.Load(); sent > int64(len(data))*3/2 {
		t.Errorf("the server sent %d bytes for a file of %d", sent, len(data))
	}
}

func noRange(t *testing.T, h harness) {
	data := Data(2 << 20)
	s := Serve(t, NoRange(Cut(Content(data), 700_000, 1)))
	e := h.shared
	job := Job(t, "no-range", s.URL+"/file")
	Add(t, e, job)
	MustCompleteInTheEnd(t, e, job, data)
}

func speedLimit(t *testing.T, h harness) {
	data := Data(400_000)
	s := Serve(t, Content(data))
	e := h.shared
	job := Job(t, "limited", s.URL+"/file", "max-download-limit", "200K")
	begun := time.Now()
	Add(t, e, job)
	MustComplete(t, e, job, data)
	if took := time.Since(begun); took < time.Second {
		t.Errorf("400 kB at 200 KiB/s took %v", took)
	}
}

func emptyFile(t *testing.T, h harness) {
	s := Serve(t, Content(nil))
	e := h.shared
	job := Job(t, "empty", s.URL+"/empty.txt")
	Add(t, e, job)
	MustComplete(t, e, job, nil)
}

func chunked(t *testing.T, h harness) {
	data := Data(300_000)
	s := Serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i < len(data); i += 100_000 {
			if _, err := w.Write(data[i : i+100_000]); err != nil {
				return
			}
			_ = http.NewResponseController(w).Flush() // a connection that is gone shows with the next write
		}
	}))
	e := h.shared
	job := Job(t, "chunked", s.URL+"/file")
	Add(t, e, job)
	MustComplete(t, e, job, data)
}

func redirect(t *testing.T, h harness) {
	data := Data(100_000)
	mux := http.NewServeMux()
	mux.Handle("/from", http.RedirectHandler("/to", http.StatusFound))
	mux.Handle("/to", Content(data))
	s := Serve(t, mux)
	e := h.shared
	job := Job(t, "redirected", s.URL+"/from")
	Add(t, e, job)
	MustComplete(t, e, job, data)
}

func redirectLoop(t *testing.T, h harness) {
	s := Serve(t, http.RedirectHandler("/again", http.StatusFound))
	e := h.shared
	Add(t, e, Job(t, "loop", s.URL+"/from"))
	if err := MustFail(t, e, "loop"); err.Code != 23 || err.Class != model.ClassPermanent {
		t.Errorf("%+v", err)
	}
}

func options(t *testing.T, h harness) {
	data := Data(1000)
	seen := make(chan http.Header, 10)
	s := Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen <- r.Header
		Content(data).ServeHTTP(w, r)
	}))
	e := h.shared
	job := Job(t, "options", s.URL+"/file", "user-agent", "agent/1", "referer", "http://from.example/",
		"http-user", "me", "http-passwd", "pass word")
	job.Task.Options["header"] = model.OptionValue{"X-One: 1", "Cookie: c=2"}
	Add(t, e, job)
	MustComplete(t, e, job, data)
	got := <-seen
	for name, want := range map[string]string{
		"User-Agent": "agent/1", "Referer": "http://from.example/", "X-One": "1", "Cookie": "c=2",
		"Authorization": "Basic bWU6cGFzcyB3b3Jk",
	} {
		if value := got.Get(name); value != want {
			t.Errorf("header %s is %q, want %q", name, value, want)
		}
	}
}

func lineBreak(t *testing.T, h harness) {
	s := Serve(t, Content(Data(1000)))
	e := h.shared
	for name, value := range map[string]string{
		"user-agent": "a\r\nX-Evil: 1", "header": "X-One: 1\r\nX-Evil: 1", "out": "a\nb", "dir": "/tmp", "all-proxy": "http://127.0.0.1:1",
	} {
		err := e.Add(t.Context(), Job(t, "evil-"+name, s.URL+"/file", name, value))
		if model.CodeOf(err) != model.CodeInvalid {
			t.Errorf("option %s: Add returned %v, not CodeInvalid", name, err)
		}
	}
	if n := s.Requests.Load(); n != 0 {
		t.Errorf("the server had %d requests", n)
	}
}

func mirror(t *testing.T, h harness) {
	data := Data(100_000)
	bad := Serve(t, http.NotFoundHandler())
	good := Serve(t, Content(data))
	e := h.shared
	job := Job(t, "mirrored", bad.URL+"/file")
	job.Task.Mirrors = []string{good.URL + "/file"}
	Add(t, e, job)
	MustComplete(t, e, job, data)
}

func fileNames(t *testing.T, h harness) {
	data := Data(1000)
	e := h.shared
	for id, c := range map[string]struct{ path, disposition string }{
		"dots":      {"/file", `attachment; filename="../../../escaped"`},
		"absolute":  {"/file", `attachment; filename="/tmp/escaped"`},
		"encoded":   {"/file", `attachment; filename*=UTF-8''..%2f..%2fescaped`},
		"backslash": {"/file", `attachment; filename="..\\..\\escaped"`},
		"only-dots": {"/file", `attachment; filename=".."`},
		"url":       {"/%2e%2e%2f%2e%2e%2fescaped", ""},
		"url-dots":  {"/a/%2e%2e", ""},
		"home":      {"/$%7BHOME%7D", ""},
		"control":   {"/escaped.aria2", ""},
	} {
		s := Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if c.disposition != "" {
				w.Header().Set("Content-Disposition", c.disposition)
			}
			Content(data).ServeHTTP(w, r)
		}))
		job := Job(t, "name-"+id, s.URL+c.path)
		Add(t, e, job)
		if state := Await(t, e, "name-"+id, Ended); state.Phase == download.Complete {
			check(t, job, state, data)
		} else {
			t.Logf("%s: fails with %+v, which is as good", id, state.Err)
		}
		for path := range tree(t, filepath.Dir(job.Dir)) {
			if !strings.HasPrefix(path, "task/") {
				t.Errorf("%s: %q is outside the task's folder", id, path)
			}
		}
	}
}

func noPassword(t *testing.T, h harness) {
	s := Serve(t, http.NotFoundHandler())
	e := h.shared
	Add(t, e, Job(t, "secret", strings.Replace(s.URL, "http://", "http://user:pa55word@", 1)+"/file"))
	if err := MustFail(t, e, "secret"); strings.Contains(err.Message, "pa55word") || len(err.Message) > 500 {
		t.Errorf("%+v", err)
	}
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

func noServer(t *testing.T, h harness) {
	s := Serve(t, http.NotFoundHandler())
	url := s.URL
	s.Close()
	e := h.shared
	Add(t, e, Job(t, "refused", url+"/file", "max-tries", "2"))
	if err := MustFail(t, e, "refused"); err.Class != model.ClassRetryable {
		t.Errorf("%+v", err)
	}
}

func overEarlier(t *testing.T, h harness) {
	data := Data(100_000)
	s := Serve(t, Content(data))
	e := h.shared
	job := Job(t, "over", s.URL+"/file")
	// As long as the file, and without a word about how it came to be.
	if err := os.WriteFile(filepath.Join(job.Dir, "file"), make([]byte, len(data)), 0o644); err != nil {
		t.Fatal(err)
	}
	Add(t, e, job)
	MustComplete(t, e, job, data)
}

func statuses(t *testing.T, h harness) {
	e := h.shared
	for status, want := range map[int]model.TaskError{
		400: {Code: 22, Class: model.ClassPermanent},
		401: {Code: 24, Class: model.ClassPermanent},
		403: {Code: 22, Class: model.ClassWorker},
		429: {Code: 22, Class: model.ClassRetryable},
		500: {Code: 22, Class: model.ClassRetryable},
	} {
		s := Serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }))
		id := fmt.Sprintf("status-%d", status)
		Add(t, e, Job(t, id, s.URL+"/file", "max-tries", "1"))
		got := MustFail(t, e, id)
		if got.Code != want.Code || got.Class != want.Class {
			t.Errorf("status %d: %+v, want %+v", status, got, want)
		}
	}
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
