package aria2

import (
	"bytes"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aria-cluster/dispatcher/internal/worker/download/downloadtest"
)

// A download never uses a connection that another one has left open: the proxy would count
// its responses for the other one. So a file that came in one response is not asked for again.
func TestConfirm_OneResponseAfterAnotherTaskNeedsNoMore(t *testing.T) {
	t.Parallel()
	data := downloadtest.Data(10_000)
	var asked atomic.Int64 // HEAD counts
	source := downloadtest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		dated(data).ServeHTTP(w, r)
	}))
	e := newAria2(t, t.TempDir())
	for _, id := range []string{"first", "second", "third"} {
		before := asked.Load()
		job := downloadtest.Job(t, id, source.URL+"/"+id, "split", "2")
		job.Task.Mirrors = []string{strings.Replace(source.URL, "127.0.0.1", "localhost", 1) + "/" + id}
		downloadtest.Add(t, e, job)
		downloadtest.MustComplete(t, e, job, data)
		if n := asked.Load() - before; n != 3 {
			t.Errorf("%s: %d requests: a probe of each source and the file are 3", id, n)
		}
	}
}

// A file begins over a connection that an earlier task could have left open, and continues
// at a mirror with another version. It is not mixed.
func TestConfirm_MirrorAfterAnotherTasksConnectionIsNotMixed(t *testing.T) {
	t.Parallel()
	const length = 300_000
	day := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	before, after := bytes.Repeat([]byte("a"), length), bytes.Repeat([]byte("b"), length)
	cut := downloadtest.Cut(versioned(before, "", day), 100_000, 1)
	var ended atomic.Bool // the source has broken off
	source := downloadtest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/first" || r.Method == http.MethodHead && !ended.Load():
			versioned(before, "", day).ServeHTTP(w, r)
		case ended.Swap(true):
			ill(w, r)
		default:
			cut.ServeHTTP(w, r)
		}
	}))
	mirror := downloadtest.Serve(t, versioned(after, "", day.AddDate(0, 0, 1)))
	e := newAria2(t, t.TempDir())
	first := downloadtest.Job(t, "first", source.URL+"/first")
	downloadtest.Add(t, e, first)
	downloadtest.MustComplete(t, e, first, before)
	job := downloadtest.Job(t, "mixed", source.URL+"/second")
	job.Task.Mirrors = []string{strings.Replace(mirror.URL, "127.0.0.1", "localhost", 1) + "/second"}
	downloadtest.Add(t, e, job)
	downloadtest.MustComplete(t, e, job, after)
}
