package aria2

import (
	"bytes"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aria-cluster/dispatcher/internal/worker/download"
	"github.com/aria-cluster/dispatcher/internal/worker/download/downloadtest"
)

// versioned serves data with an ETag and a date, each unless it is empty.
func versioned(data []byte, etag string, modified time.Time) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if etag != "" {
			w.Header().Set("ETag", etag)
		}
		http.ServeContent(w, r, "", modified, bytes.NewReader(data))
	})
}

// Two mirrors on different hosts that are used at once have two versions of one length.
// The file is fetched again from one of them. A mirror that is not used is not asked.
func TestConfirm_MirrorsOfTwoVersionsAreNotMixed(t *testing.T) {
	t.Parallel()
	const length = 4 << 20
	before, after := bytes.Repeat([]byte("a"), length), bytes.Repeat([]byte("b"), length)
	day := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		source, mirror, unused http.Handler
		most                   int64 // bytes that the servers send
	}{
		"ETags":    {versioned(before, `"1"`, day), versioned(after, `"2"`, day), nil, length * 21 / 10},
		"weak":     {versioned(before, `W/"1"`, time.Time{}), versioned(after, `W/"2"`, time.Time{}), nil, length * 21 / 10},
		"dates":    {versioned(before, "", day), versioned(after, "", day.AddDate(0, 0, 1)), nil, length * 21 / 10},
		"the same": {versioned(before, `"1"`, day), versioned(before, `"1"`, day), versioned(after, `"2"`, day), length * 11 / 10},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var throttle downloadtest.Throttle
			throttle.Set(4 << 20)
			source := downloadtest.Serve(t, throttle.Slow(c.source))
			mirror := downloadtest.Serve(t, throttle.Slow(c.mirror))
			e := newAria2(t, t.TempDir())
			job := downloadtest.Job(t, "mixed", source.URL+"/file", "split", "2", "min-split-size", "1M")
			// aria2c opens one connection to each host.
			job.Task.Mirrors = []string{strings.Replace(mirror.URL, "127.0.0.1", "localhost", 1) + "/file"}
			if c.unused != nil {
				job.Task.Mirrors = append(job.Task.Mirrors, downloadtest.Serve(t, c.unused).URL+"/file")
			}
			downloadtest.Add(t, e, job)
			downloadtest.Await(t, e, "mixed", downloadtest.Reached(length/2))
			if source.Requests.Load() == 0 || mirror.Requests.Load() == 0 {
				t.Fatal("aria2c uses one source only")
			}
			downloadtest.MustComplete(t, e, job, before)
			if sent := source.Sent.Load() + mirror.Sent.Load(); sent > c.most {
				t.Errorf("the servers sent %d bytes for a file of %d", sent, length)
			}
		})
	}
}

// A mirror that answers with a page of another length is not the file. The source is ill when
// aria2c asks it first.
func TestConfirm_PageOfAMirrorIsNotTheFile(t *testing.T) {
	t.Parallel()
	data := downloadtest.Data(300_000)
	var asked atomic.Int64
	source := downloadtest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet && asked.Add(1) == 1 {
			ill(w, r)
			return
		}
		downloadtest.Content(data).ServeHTTP(w, r)
	}))
	mirror := downloadtest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("<html>a page</html>")) // a client that left sees it
	}))
	e := newAria2(t, t.TempDir())
	job := downloadtest.Job(t, "page", source.URL+"/file")
	job.Task.Mirrors = []string{mirror.URL + "/file"}
	downloadtest.Add(t, e, job)
	downloadtest.MustComplete(t, e, job, data)
	if mirror.Requests.Load() == 0 {
		t.Error("the mirror was not asked")
	}
}

// Versions of two sources contradict each other by the strongest that both say.
func TestVersion_ContradictsByTheStrongestValidator(t *testing.T) {
	kept := version{Source: "s", ETag: `"1"`, LastModified: "date", Length: 5}
	for name, c := range map[string]struct {
		change func(v *version)
		want   bool
	}{
		"the same elsewhere":   {func(v *version) { v.Source = "t" }, false},
		"another ETag":         {func(v *version) { v.ETag = `"2"` }, true},
		"another length":       {func(v *version) { v.Length = 6 }, true},
		"no length":            {func(v *version) { v.Length = -1 }, false},
		"another date":         {func(v *version) { v.LastModified = "later" }, false},
		"no ETag":              {func(v *version) { v.ETag = "" }, false},
		"no ETag, other date":  {func(v *version) { v.ETag, v.LastModified = "", "later" }, true},
		"weak, and no date":    {func(v *version) { v.ETag, v.LastModified = `W/"2"`, "" }, true},
		"weak, no date, same":  {func(v *version) { v.ETag, v.LastModified = `W/"1"`, "" }, false},
		"weak, the same date":  {func(v *version) { v.ETag = `W/"2"` }, false},
		"weak, and other date": {func(v *version) { v.ETag, v.LastModified = `W/"2"`, "later" }, true},
		"no validator":         {func(v *version) { v.ETag, v.LastModified = "", "" }, false},
	} {
		other := kept
		c.change(&other)
		if got, back := kept.contradicts(&other), other.contradicts(&kept); got != c.want || back != c.want {
			t.Errorf("%s: %v and %v, want %v", name, got, back, c.want)
		}
	}
}

// While its sources are asked whether a file is of one version, the job has every byte.
func TestConfirm_JobHasEveryByteMeanwhile(t *testing.T) {
	t.Parallel()
	data := bytes.Repeat([]byte("a"), 2<<20)
	file := versioned(data, `"1"`, time.Time{})
	var begun atomic.Bool
	answer := make(chan struct{})
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			begun.Store(true)
		} else if begun.Load() {
			<-answer
		}
		file.ServeHTTP(w, r)
	})
	source, mirror := downloadtest.Serve(t, handler), downloadtest.Serve(t, handler)
	e := newAria2(t, t.TempDir())
	job := downloadtest.Job(t, "checked", source.URL+"/file", "split", "2", "min-split-size", "1M")
	job.Task.Mirrors = []string{strings.Replace(mirror.URL, "127.0.0.1", "localhost", 1) + "/file"}
	downloadtest.Add(t, e, job)
	s := downloadtest.Await(t, e, "checked", func(s download.State) bool { return s.Transferred || s.Phase != download.Active })
	close(answer)
	if s.Phase != download.Active || s.Completed != int64(len(data)-1) {
		t.Errorf("the job is %+v", s)
	}
	downloadtest.MustComplete(t, e, job, data)
}
