package direct

import (
	"bytes"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aria-cluster/dispatcher/internal/worker/download/downloadtest"
)

// A source that the server names is used after the own one has failed. It continues the bytes only
// with the same strong ETag, and gets nothing of a task with a header.
func TestDuplicates_UsedAfterOwnSources(t *testing.T) {
	t.Parallel()
	const length = 200_000
	one, other := bytes.Repeat([]byte("a"), length), bytes.Repeat([]byte("b"), length)
	serve := func(data []byte, tag string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if tag != "" {
				w.Header().Set("ETag", tag)
			}
			http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
		})
	}
	e := newDirect(t)
	for name, c := range map[string]struct {
		duplicate http.Handler
		refusal   int // of the own server after half of the file
		options   []string
		want      []byte // nil: the task fails
		sent      int64  // by the duplicate
	}{
		"no-etag":      {serve(other, ""), 404, nil, other, length},
		"another-etag": {serve(other, `"2"`), 404, nil, other, length},
		"the-same":     {serve(one, `"1"`), 404, nil, one, length / 2},
		"a-header":     {serve(one, `"1"`), 404, []string{"header", "X-Key: own"}, nil, 0},
		"429":          {serve(one, `"1"`), 429, nil, nil, 0},
		"dead-too":     {http.NotFoundHandler(), 503, nil, nil, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			duplicate := downloadtest.Serve(t, c.duplicate)
			cut := downloadtest.Cut(serve(one, `"1"`), length/2, 1)
			var gets atomic.Int64
			source := downloadtest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Link", "<"+duplicate.URL+"/other>; rel=duplicate")
				if gets.Add(1) > 1 {
					w.WriteHeader(c.refusal)
					return
				}
				cut.ServeHTTP(w, r)
			}))
			job := downloadtest.Job(t, name, source.URL+"/file", append([]string{"max-tries", "2"}, c.options...)...)
			downloadtest.Add(t, e, job)
			if c.want == nil {
				if err := downloadtest.MustFail(t, e, name); err.HTTPStatus != c.refusal {
					t.Errorf("%+v", err)
				}
			} else if got := downloadtest.MustComplete(t, e, job, c.want); got != "file" {
				t.Errorf("the file is named %q", got)
			}
			if sent := duplicate.Sent.Load(); c.refusal != 503 && sent != c.sent {
				t.Errorf("the other server sent %d bytes, not %d", sent, c.sent)
			}
		})
	}
}
