package direct

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aria-cluster/dispatcher/internal/worker/download"
	"github.com/aria-cluster/dispatcher/internal/worker/download/downloadtest"
)

// dropping serves, without a validator, the version that versions names for each request,
// and drops each whole response at byte 200,000. Ranges are sent up to rangeLimit bytes.
func dropping(versions func(n int64) []byte, rangeLimit int) http.Handler {
	var n atomic.Int64
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		data := versions(n.Add(1))
		serve := http.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
		}))
		limit := rangeLimit
		if r.Header.Get("Range") == "" {
			limit = 200_000
		}
		if limit > 0 {
			serve = downloadtest.Cut(serve, limit, 1)
		}
		serve.ServeHTTP(w, r)
	})
}

// A server drops each whole response and has no validator. Requests 1 and 2 are whole
// responses, 3 is the rest, 4 confirms. The two versions differ only in byte 10, which a
// comparison of the bytes around the drop would not see.
func TestConfirm_DroppedFileIsOneVersion(t *testing.T) {
	before := downloadtest.Data(500_000)
	after := slices.Clone(before)
	after[10] ^= 1
	changesAt := func(request int64) func(int64) []byte {
		return func(n int64) []byte {
			if n >= request {
				return after
			}
			return before
		}
	}
	for name, c := range map[string]struct {
		versions   func(n int64) []byte
		rangeLimit int
		want       []byte
	}{
		"it never changes":                      {changesAt(100), 0, before},
		"ranges are dropped too":                {changesAt(100), 60_000, before},
		"it changes before the second response": {changesAt(2), 0, after},
		"it changes before the rest":            {changesAt(3), 0, after},
		"it changes before the confirmation":    {changesAt(4), 0, after},
		"it changes after the confirmation":     {changesAt(5), 0, before},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := downloadtest.Serve(t, dropping(c.versions, c.rangeLimit))
			e := newDirect(t)
			job := downloadtest.Job(t, "dropped", s.URL+"/file", "retry-wait", "0")
			downloadtest.Add(t, e, job)
			downloadtest.MustComplete(t, e, job, c.want)
		})
	}
}

// While a file is confirmed it has a speed and is one byte short.
func TestConfirm_FileIsNotWholeMeanwhile(t *testing.T) {
	data := downloadtest.Data(500_000)
	var requests atomic.Int64
	release := make(chan struct{})
	serve := dropping(func(int64) []byte { return data }, 0)
	s := downloadtest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if requests.Add(1) < 4 {
			serve.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Content-Length", fmt.Sprint(len(data)))
		_, _ = w.Write(data[:200_000]) // a client that left sees it, here and below
		_ = http.NewResponseController(w).Flush()
		select {
		case <-release:
		case <-r.Context().Done():
		}
		_, _ = w.Write(data[200_000:])
	}))
	e := newDirect(t)
	job := downloadtest.Job(t, "slow", s.URL+"/file", "retry-wait", "0")
	downloadtest.Add(t, e, job)
	downloadtest.Await(t, e, "slow", func(state download.State) bool {
		return requests.Load() == 4 && state.Speed > 0 && state.Completed == state.Total-1
	})
	close(release)
	downloadtest.MustComplete(t, e, job, data)
}

// A file that differs in each response is never called complete.
func TestConfirm_EverChangingFileFails(t *testing.T) {
	s := downloadtest.Serve(t, dropping(func(n int64) []byte { return bytes.Repeat([]byte{byte(n)}, 500_000) }, 0))
	e := newDirect(t)
	job := downloadtest.Job(t, "changing", s.URL+"/file", "retry-wait", "0")
	downloadtest.Add(t, e, job)
	failure := downloadtest.MustFail(t, e, job.Task.ID)
	if failure.Code != download.CodeNoResume && failure.Code != download.CodeNetwork {
		t.Errorf("the failure is %+v", failure)
	}
}

// The duty to confirm survives the process: a part that was continued unproven is
// confirmed by a later job too, which here finds that the first byte is wrong.
func TestConfirm_LaterJobConfirms(t *testing.T) {
	data := downloadtest.Data(500_000)
	s := downloadtest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
	}))
	job := downloadtest.Job(t, "later", s.URL+"/file")
	mixed := append([]byte{data[0] ^ 1}, data[1:]...)
	f, err := openFolder(job.Dir, false, nil, &download.Space{})
	if err != nil {
		t.Fatal(err)
	}
	m := &meta{Name: "file", Source: download.HashOf(job.Task.URL), Length: int64(len(data))}
	if err := f.begin(m); err != nil {
		t.Fatal(err)
	}
	first := f.spans.first()
	if err := f.write(first, mixed[:200_000]); err != nil {
		t.Fatal(err)
	}
	if err := f.setUnconfirmed(); err != nil {
		t.Fatal(err)
	}
	if err := f.write(first, mixed[200_000:]); err != nil {
		t.Fatal(err)
	}
	f.close()
	text, err := os.ReadFile(filepath.Join(job.Dir, "file"+metaSuffix))
	if err != nil || !strings.Contains(string(text), `"unconfirmed":500000`) {
		t.Fatalf("the meta file is %s: %v", text, err)
	}
	e := newDirect(t)
	downloadtest.Add(t, e, job)
	downloadtest.MustComplete(t, e, job, data)
}

// brokenMirrors returns a source that drops each whole response, and a mirror with another
// version of the same length that gives one response and no more.
func brokenMirrors(t *testing.T, one, other []byte) (source, mirror string) {
	t.Helper()
	first := downloadtest.Serve(t, dropping(func(int64) []byte { return one }, 0))
	var n atomic.Int64
	second := downloadtest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if n.Add(1) > 1 {
			http.NotFound(w, r)
			return
		}
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(other))
	}))
	return first.URL + "/file", second.URL + "/file"
}

// twoNodes are two servers behind one address, asked in turn, with different files and ETags.
func twoNodes(one, other []byte) http.Handler {
	var n atomic.Int64
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		data, tag := one, `"a"`
		if n.Add(1)%2 == 0 {
			data, tag = other, `"b"`
		}
		w.Header().Set("ETag", tag)
		serve := http.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
		}))
		if condition := r.Header.Get("If-Range"); r.Header.Get("Range") == "" || condition != "" && condition != tag {
			serve = downloadtest.Cut(serve, 200_000, 1)
		}
		serve.ServeHTTP(w, r)
	})
}

// A file is confirmed as a whole by one source: what came from a mirror or another node is
// not confirmed by halves. The download completes with one version, or fails.
func TestConfirm_SourcesAreNeverMixed(t *testing.T) {
	one := downloadtest.Data(500_000)
	other := slices.Clone(one)
	other[10] ^= 1
	other[400_000] ^= 1
	for name, serve := range map[string]func(t *testing.T) (source string, mirrors []string){
		"a mirror that refuses the confirmation": func(t *testing.T) (string, []string) {
			source, mirror := brokenMirrors(t, one, other)
			return source, []string{mirror}
		},
		"two nodes in turn": func(t *testing.T) (string, []string) {
			return downloadtest.Serve(t, twoNodes(one, other)).URL + "/file", nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newDirect(t)
			source, mirrors := serve(t)
			job := downloadtest.Job(t, "mixed", source, "retry-wait", "0")
			job.Task.Mirrors = mirrors
			downloadtest.Add(t, e, job)
			s := downloadtest.Await(t, e, job.Task.ID, downloadtest.Ended)
			if s.Phase != download.Complete {
				return
			}
			got, err := os.ReadFile(filepath.Join(job.Dir, s.Files[0].Path))
			if err != nil || !bytes.Equal(got, one) && !bytes.Equal(got, other) {
				t.Errorf("%d bytes of two versions are complete: %v", len(got), err)
			}
		})
	}
}

// A body without a length is dropped, and the ranges that follow are bounded: the file ends
// where they say, not where the first of them ends.
func TestResume_UnknownLengthIsLearned(t *testing.T) {
	data := downloadtest.Data(500_000)
	s := downloadtest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"own"`)
		var from int
		if _, err := fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-", &from); err != nil {
			_ = http.NewResponseController(w).Flush() // in chunks
			_, _ = w.Write(data[:200_000])
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}
		to := min(from+50_000, len(data))
		w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, to-1, len(data)))
		w.WriteHeader(http.StatusPartialContent)
		_, _ = w.Write(data[from:to])
	}))
	e := newDirect(t)
	job := downloadtest.Job(t, "learned", s.URL+"/file", "retry-wait", "0")
	downloadtest.Add(t, e, job)
	downloadtest.MustComplete(t, e, job, data)
}

// A server that gives one byte a request is not asked without end.
func TestTries_ByteOfProgressIsCounted(t *testing.T) {
	data := downloadtest.Data(500_000)
	var requests atomic.Int64
	s := downloadtest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		w.Header().Set("ETag", `"own"`)
		var from int
		if _, err := fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-", &from); err != nil {
			downloadtest.Cut(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
			}), 200_000, 1).ServeHTTP(w, r)
			return
		}
		w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, from, len(data)))
		w.WriteHeader(http.StatusPartialContent)
		_, _ = w.Write(data[from : from+1])
	}))
	e := newDirect(t)
	job := downloadtest.Job(t, "bytes", s.URL+"/file", "retry-wait", "0")
	downloadtest.Add(t, e, job)
	downloadtest.MustFail(t, e, job.Task.ID)
	if n := requests.Load(); n > 20 {
		t.Errorf("the server was asked %d times", n)
	}
}
