package direct

import (
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"github.com/aria-cluster/dispatcher/internal/worker/download"
	"github.com/aria-cluster/dispatcher/internal/worker/download/downloadtest"
)

// limited answers every request with a status and Retry-After, and counts them.
func limited(t *testing.T, status int, after string, n *atomic.Int64) string {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		n.Add(1)
		w.Header().Set("Retry-After", after)
		w.WriteHeader(status)
	}))
	t.Cleanup(srv.Close)
	return srv.URL + "/file"
}

// ended runs a job to its end.
func ended(t *testing.T, e download.Engine, job download.Job) download.State {
	t.Helper()
	downloadtest.Add(t, e, job)
	return downloadtest.Await(t, e, job.Task.ID, downloadtest.Ended)
}

// A 429, and a 503 that asks for a long wait, end the attempt after one request, and the
// failure has the wait.
func TestJob_RetryAfterEndsTheAttempt(t *testing.T) {
	t.Parallel()
	e := newDirect(t)
	for name, c := range map[string]struct {
		status int
		after  string
		want   int
	}{
		"limit-a": {429, "120", 120}, "limit-b": {503, "7", 7},
		"limit-c": {429, "soon", 0}, "limit-d": {503, "1000000000000", 86_400},
	} {
		var n atomic.Int64
		s := ended(t, e, downloadtest.Job(t, name, limited(t, c.status, c.after, &n)))
		if s.Phase != download.Failed || s.Err.HTTPStatus != c.status || s.Err.RetryAfter != c.want || n.Load() != 1 {
			t.Errorf("%d with %q: %+v after %d requests", c.status, c.after, s.Err, n.Load())
		}
	}
}

// A mirror serves the file while the url asks for a wait; what a mirror asks is not
// reported as the url's wait.
func TestJob_RetryAfterOfOneSource(t *testing.T) {
	t.Parallel()
	e := newDirect(t)
	data := downloadtest.Data(10_000)
	good := downloadtest.Serve(t, downloadtest.Content(data))
	var n atomic.Int64
	busy := limited(t, 429, "60", &n)
	job := downloadtest.Job(t, "mirror-serves", busy)
	job.Task.Mirrors = []string{good.URL + "/file"}
	downloadtest.Add(t, e, job)
	downloadtest.MustComplete(t, e, job, data)

	missing := limited(t, 404, "60", &n)
	job = downloadtest.Job(t, "mirror-limited", missing)
	job.Task.Mirrors = []string{busy}
	if s := ended(t, e, job); s.Phase != download.Failed || s.Err.RetryAfter != 0 {
		t.Errorf("a limited mirror: %+v", s.Err)
	}
	job = downloadtest.Job(t, "url-limited", busy)
	job.Task.Mirrors = []string{missing}
	if s := ended(t, e, job); s.Phase != download.Failed || s.Err.RetryAfter != 60 {
		t.Errorf("a limited url with a dead mirror: %+v", s.Err)
	}
}
