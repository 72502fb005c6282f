package aria2

import (
	"bytes"
	"net/http"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aria-cluster/dispatcher/internal/worker/download"
	"github.com/aria-cluster/dispatcher/internal/worker/download/downloadtest"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// dated serves data with a date and no ETag: at another URL it may be another file.
func dated(data []byte) http.Handler {
	modified := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "", modified, bytes.NewReader(data))
	})
}

// first has n requests answered by h, HEAD too, and the others by then.
func first(n int64, h, then http.Handler) http.Handler {
	var served atomic.Int64
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if served.Add(1) > n {
			then.ServeHTTP(w, r)
			return
		}
		h.ServeHTTP(w, r)
	})
}

func ill(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }

// A finished file is not compared with a mirror that it does not come from. The source
// of this task with credentials fails when it is asked again at the end.
func TestConfirm_UnusedMirrorDoesNotFailTheFile(t *testing.T) {
	t.Parallel()
	data := downloadtest.Data(300_000)
	e := newAria2(t, t.TempDir())
	for name, serve := range map[string]func([]byte) http.Handler{"by-date": dated, "by-etag": downloadtest.Content} {
		t.Run(name, func(t *testing.T) {
			source := downloadtest.Serve(t, first(2, serve(data), http.HandlerFunc(ill)))
			mirror := downloadtest.Serve(t, serve(downloadtest.Data(300_001)))
			job := downloadtest.Job(t, name, source.URL+"/file", "header", "X-Token: t")
			job.Task.Mirrors = []string{mirror.URL + "/file"}
			downloadtest.Add(t, e, job)
			downloadtest.MustComplete(t, e, job, data)
			if n := source.Requests.Load(); n != 2 {
				t.Errorf("the source had %d requests: a probe and the file are 2, and one response needs no more", n)
			}
			if n := mirror.Requests.Load(); n != 0 {
				t.Errorf("the mirror had %d requests", n)
			}
		})
	}
}

// A file that changed at its own source is started over, also with a mirror.
func TestConfirm_ChangedFileRestartsWithAMirrorToo(t *testing.T) {
	t.Parallel()
	before, now := downloadtest.Data(300_000), bytes.Repeat([]byte("b"), 300_000)
	source := downloadtest.Serve(t, first(2, downloadtest.Cut(downloadtest.Content(before), 100_000, 2), downloadtest.Content(now)))
	mirror := downloadtest.Serve(t, downloadtest.Content(before))
	e := newAria2(t, t.TempDir())
	job := downloadtest.Job(t, "changed", source.URL+"/file", "header", "X-Token: t")
	job.Task.Mirrors = []string{mirror.URL + "/file"}
	downloadtest.Add(t, e, job)
	downloadtest.MustComplete(t, e, job, now)
}

// At the end the source of the version is asked first.
func TestConfirm_AsksTheVersionsSourceFirst(t *testing.T) {
	t.Parallel()
	data := downloadtest.Data(300_000)
	source := downloadtest.Serve(t, first(1, http.HandlerFunc(ill), dated(data)))
	mirror := downloadtest.Serve(t, dated(data))
	e := newAria2(t, t.TempDir())
	job := downloadtest.Job(t, "recovered", source.URL+"/file")
	job.Task.Mirrors = []string{mirror.URL + "/file"}
	downloadtest.Add(t, e, job)
	downloadtest.MustComplete(t, e, job, data)
	if sent := source.Sent.Load() + mirror.Sent.Load(); sent != int64(len(data)) {
		t.Errorf("the servers sent %d bytes for a file of %d", sent, len(data))
	}
}

// The bytes of a mirror are continued when the first source is back.
func TestEngine_BytesOfAMirrorAreContinued(t *testing.T) {
	t.Parallel()
	data := downloadtest.Data(4 << 20)
	for name, option := range map[string]string{"a task with credentials": "header", "a task without": ""} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var back atomic.Bool
			source := downloadtest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if !back.Load() {
					ill(w, r)
					return
				}
				dated(data).ServeHTTP(w, r)
			}))
			var throttle downloadtest.Throttle
			throttle.Set(1 << 20)
			mirror := downloadtest.Serve(t, throttle.Slow(dated(data)))
			e := newAria2(t, t.TempDir())
			job := downloadtest.Job(t, "kept", source.URL+"/file")
			if option != "" {
				job.Task.Options[option] = model.OptionValue{"X-Token: t"}
			}
			job.Task.Mirrors = []string{mirror.URL + "/file"}
			downloadtest.Add(t, e, job)
			downloadtest.Await(t, e, "kept", downloadtest.Reached(2<<20))
			downloadtest.Remove(t, e, "kept")
			back.Store(true)
			throttle.Set(16 << 20)      // aria2c may ask for all first, and break that off
			downloadtest.Add(t, e, job) // as after a new start of the worker
			downloadtest.MustComplete(t, e, job, data)
			if sent := source.Sent.Load() + mirror.Sent.Load(); sent > int64(len(data))*5/4 {
				t.Errorf("the servers sent %d bytes for a file of %d", sent, len(data))
			}
		})
	}
}

// A mirror with a newer file of another length replaces the bytes of a source that is gone: only
// a length of this attempt tells an error page from the file.
func TestEngine_NewerMirrorReplacesBytesOfAGoneSource(t *testing.T) {
	t.Parallel()
	older, newer := downloadtest.Data(4<<20), downloadtest.Data(3<<20)
	var gone atomic.Bool
	var throttle downloadtest.Throttle
	throttle.Set(1 << 20)
	source := downloadtest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if gone.Load() {
			http.NotFound(w, r)
			return
		}
		throttle.Slow(dated(older)).ServeHTTP(w, r)
	}))
	mirror := downloadtest.Serve(t, dated(newer))
	e := newAria2(t, t.TempDir())
	job := downloadtest.Job(t, "kept", source.URL+"/file")
	job.Task.Mirrors = []string{mirror.URL + "/file"}
	downloadtest.Add(t, e, job)
	downloadtest.Await(t, e, "kept", downloadtest.Reached(1<<20))
	downloadtest.Remove(t, e, "kept")
	gone.Store(true)
	downloadtest.Add(t, e, job) // as after a new start of the worker
	downloadtest.MustComplete(t, e, job, newer)
}

// staleOnce serves a, and b in answer to the first request of the file without a range, as a
// stale node behind a balancer does.
func staleOnce(a, b http.Handler) http.Handler {
	var stale atomic.Bool
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet && r.Header.Get("Range") == "" && !stale.Swap(true) {
			b.ServeHTTP(w, r)
			return
		}
		a.ServeHTTP(w, r)
	})
}

// A server with two versions may answer the one request that has no range by the other one. Its
// bytes are not combined with those of ranges, also if it sends no ETag, and after a new start of
// the worker.
func TestConfirm_ResponseOfAnotherVersionIsNotCombined(t *testing.T) {
	t.Parallel()
	const length = 3 << 20
	a, b := bytes.Repeat([]byte("a"), length), bytes.Repeat([]byte("b"), length)
	day := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	e := newAria2(t, t.TempDir())
	for name, c := range map[string]struct {
		tag     string
		options []string
		again   bool // the worker starts again halfway
	}{
		"another ETag":                    {`"b"`, inParts, false},
		"no ETag":                         {"", inParts, false},
		"another ETag, after a new start": {`"b"`, nil, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var throttle downloadtest.Throttle
			throttle.Set(2 << 20)
			source := downloadtest.Serve(t, throttle.Slow(staleOnce(versioned(a, `"a"`, day), versioned(b, c.tag, day))))
			mirror := downloadtest.Serve(t, throttle.Slow(versioned(a, `"a"`, day)))
			job := downloadtest.Job(t, name, source.URL+"/file", c.options...)
			job.Task.Mirrors = []string{mirror.URL + "/file"}
			downloadtest.Add(t, e, job)
			if c.again {
				downloadtest.Await(t, e, name, downloadtest.Reached(length/2))
				downloadtest.Remove(t, e, name)
				downloadtest.Add(t, e, job)
			}
			downloadtest.MustComplete(t, e, job, a)
		})
	}
}

// The source of the existing bytes is found.
func TestCameFrom_FindsTheSourceOfTheBytes(t *testing.T) {
	job := download.Job{Dir: t.TempDir(), Task: &model.Task{TaskSpec: model.TaskSpec{URL: "http://a/f", Mirrors: []string{"http://b/f", "http://c/f"}}}}
	if at := cameFrom(&job); at != 0 {
		t.Errorf("nothing is kept, and yet: %d", at)
	}
	for source, want := range map[string]int{"http://a/f": 0, "http://c/f": 2, "http://gone/f": 0} {
		if err := (&version{Source: download.HashOf(source)}).save(job.Dir); err != nil {
			t.Fatal(err)
		}
		if at := cameFrom(&job); at != want {
			t.Errorf("%s: %d, want %d", source, at, want)
		}
	}
	if err := os.WriteFile(job.Dir+"/"+versionFile, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if at := cameFrom(&job); at != 0 {
		t.Errorf("what is kept cannot be read, and yet: %d", at)
	}
}

// A validator is sent only if aria2c knows one source.
func TestValidator_IsSentForOneSourceOnly(t *testing.T) {
	mirrors := []string{"http://b/f"}
	for name, c := range map[string]struct {
		mirrors  []string
		told     []string
		checksum string
		now      *version
		want     string
	}{
		"one source":                        {nil, nil, "", &version{ETag: `"1"`}, `"1"`},
		"a date":                            {nil, nil, "", &version{ETag: `W/"1"`, LastModified: "date"}, "date"},
		"nothing is known":                  {nil, nil, "", nil, ""},
		"a checksum":                        {nil, nil, "sha-256=aa", &version{ETag: `"1"`}, ""},
		"mirrors that have the same ETag":   {mirrors, []string{"http://a/f", "http://b/f"}, "", &version{ETag: `"1"`}, `"1"`},
		"a mirror that aria2c does not get": {mirrors, []string{"http://a/f"}, "", &version{ETag: `"1"`}, `"1"`},
		"two of FTP that aria2c gets":       {mirrors, []string{"ftp://a/f", "ftp://b/f"}, "", &version{}, ""},
		"a checksum and a mirror that aria2c does not get":  {mirrors, []string{"http://a/f"}, "sha-256=aa", &version{ETag: `"1"`}, ""},
		"a mirror that aria2c does not get, and no version": {mirrors, []string{"http://a/f"}, "", nil, ""},
	} {
		spec := model.TaskSpec{URL: "http://a/f", Mirrors: c.mirrors, Checksum: c.checksum}
		j := &job{Job: download.Job{Task: &model.Task{TaskSpec: spec}}, allowedSources: c.told, version: c.now}
		if got := j.validator(); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}
