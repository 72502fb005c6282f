package aria2

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aria-cluster/dispatcher/internal/worker/download/downloadtest"
)

// farm serves one file from nodes that each give it another ETag in each response.
func farm(data []byte) http.Handler {
	var n atomic.Int64
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", fmt.Sprintf(`"node%d"`, n.Add(1)))
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
	})
}

// A file that came in one response is complete, whatever its server says afterwards.
func TestConfirm_OneResponseIsNotAsked(t *testing.T) {
	t.Parallel()
	data := downloadtest.Data(300_000)
	s := downloadtest.Serve(t, farm(data))
	e := newAria2(t, t.TempDir())
	job := downloadtest.Job(t, "farm", s.URL+"/file", bothAtOnce...)
	job.Task.Mirrors = []string{s.URL + "/mirror"}
	downloadtest.Add(t, e, job)
	downloadtest.MustComplete(t, e, job, data)
	if n, sent := s.Requests.Load(), s.Sent.Load(); n != 1 || sent != int64(len(data)) {
		t.Errorf("%d requests and %d bytes for a file of %d", n, sent, len(data))
	}
}

// A file that several responses of a farm brought is fetched again over one
// connection, once, in the same attempt.
func TestConfirm_MismatchLeadsToOneConnection(t *testing.T) {
	t.Parallel()
	data := downloadtest.Data(4 << 20)
	var throttle downloadtest.Throttle
	throttle.Set(8 << 20)
	s := downloadtest.Serve(t, throttle.Slow(farm(data)))
	e := newAria2(t, t.TempDir())
	job := downloadtest.Job(t, "farm", s.URL+"/file", bothAtOnce...)
	job.Task.Mirrors = []string{s.URL + "/mirror"}
	downloadtest.Add(t, e, job)
	downloadtest.MustComplete(t, e, job, data)
	if traffic := e.proxy.Traffic(gidOf("farm")); traffic.Bodies != 1 {
		t.Errorf("the last connection to the source: %+v", traffic)
	}
	if sent := s.Sent.Load(); sent > int64(len(data))*21/10 {
		t.Errorf("%d bytes for a file of %d", sent, len(data))
	}
}

// With a checksum the bytes of an earlier attempt are used although the server gives
// another ETag, and are verified at the end.
func TestResume_ChecksumIgnoresETags(t *testing.T) {
	t.Parallel()
	data := downloadtest.Data(4 << 20)
	sum := sha256.Sum256(data)
	var throttle downloadtest.Throttle
	throttle.Set(1 << 20)
	s := downloadtest.Serve(t, throttle.Slow(farm(data)))
	e := newAria2(t, t.TempDir())
	job := downloadtest.Job(t, "checked", s.URL+"/file")
	job.Task.Checksum = "sha-256=" + hex.EncodeToString(sum[:])
	downloadtest.Add(t, e, job)
	downloadtest.Await(t, e, "checked", downloadtest.Reached(2<<20))
	downloadtest.Remove(t, e, "checked")
	throttle.Set(16 << 20)
	downloadtest.Add(t, e, job)
	downloadtest.MustComplete(t, e, job, data)
	if sent := s.Sent.Load(); sent > int64(len(data))*5/4 {
		t.Errorf("%d bytes for a file of %d", sent, len(data))
	}
}

// With a checksum bytes are kept unless the file has another length.
func TestSettleVersion_ChecksumKeepsBytes(t *testing.T) {
	kept := &version{Source: "s", ETag: `"1"`, Length: 5}
	for name, c := range map[string]struct {
		kept, now *version
		resumes   bool
	}{
		"another ETag":           {kept, &version{Source: "s", ETag: `"2"`, Length: 5}, true},
		"another source":         {kept, &version{Source: "t", LastModified: "date", Length: 5}, true},
		"no version of either":   {nil, nil, true},
		"no version of the kept": {nil, &version{Source: "s", Length: 5}, true},
		"another length":         {kept, &version{Source: "s", ETag: `"1"`, Length: 6}, false},
	} {
		dir := t.TempDir()
		for _, file := range []string{"f", "f.aria2"} {
			if err := os.WriteFile(filepath.Join(dir, file), []byte("x"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if c.kept != nil {
			if err := c.kept.save(dir); err != nil {
				t.Fatal(err)
			}
		}
		v, resumes, err := settleVersion(dir, c.now, "s", true)
		if err != nil || resumes != c.resumes || exists(dir, "f") != c.resumes || (v == nil) != (loadVersion(dir) == nil) {
			t.Errorf("%s: %+v, resumes %v, %v", name, v, resumes, err)
		}
	}
}

// A server answers each If-Range with the whole file and drops it. aria2c continues
// without If-Range after a plain range had the same strong ETag.
func TestResume_BrokenIfRangeIsLeftOut(t *testing.T) {
	t.Parallel()
	data := downloadtest.Data(4 << 20)
	var throttle downloadtest.Throttle
	throttle.Set(8 << 20)
	content := throttle.Slow(downloadtest.Content(data))
	dropped := downloadtest.Cut(content, 2<<20, -1)
	s := downloadtest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("If-Range") != "" {
			r.Header.Del("If-Range")
			r.Header.Del("Range")
		}
		if r.Header.Get("Range") != "" {
			content.ServeHTTP(w, r)
			return
		}
		dropped.ServeHTTP(w, r)
	}))
	e := newAria2(t, t.TempDir())
	job := downloadtest.Job(t, "broken", s.URL+"/file")
	downloadtest.Add(t, e, job)
	downloadtest.MustComplete(t, e, job, data)
	if sent := s.Sent.Load(); sent > int64(len(data))*5/4 {
		t.Errorf("%d bytes for a file of %d", sent, len(data))
	}
}

// A file that changed behind a broken If-Range is not mixed.
func TestResume_BrokenIfRangeMixesNoVersions(t *testing.T) {
	t.Parallel()
	before, after := bytes.Repeat([]byte("a"), 2<<20), bytes.Repeat([]byte("b"), 2<<20)
	var gets atomic.Int64
	s := downloadtest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		tag, data := `"1"`, before
		if gets.Load() >= 2 { // it changes after the second whole response
			tag, data = `"2"`, after
		}
		w.Header().Set("ETag", tag)
		serve := http.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
		}))
		if r.Method == http.MethodGet && (r.Header.Get("If-Range") != "" || r.Header.Get("Range") == "") {
			r.Header.Del("Range")
			if gets.Add(1) <= 2 {
				serve = downloadtest.Cut(serve, 1<<20, 1)
			}
		}
		serve.ServeHTTP(w, r)
	}))
	e := newAria2(t, t.TempDir())
	job := downloadtest.Job(t, "changed", s.URL+"/file")
	downloadtest.Add(t, e, job)
	downloadtest.MustComplete(t, e, job, after)
}
