package aria2

import (
	"bytes"
	"net/http"
	"slices"
	"strings"
	"sync"
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

// atOnce makes aria2c use two sources of a file of 4 MiB at once.
var atOnce = []string{"split", "2", "min-split-size", "1M"}

// inParts makes aria2c use two connections to each source of a file of 3 MiB.
var inParts = []string{"split", "2", "min-split-size", "1M", "max-connection-per-server", "2"}

// besides answers requests of that method by h, and the others by then.
func besides(method string, h http.HandlerFunc, then http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == method {
			h(w, r)
			return
		}
		then.ServeHTTP(w, r)
	})
}

func silent(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

// A file of two mirrors on different hosts is combined only if both have sent the same
// strong ETag, date and length. In all other cases one source sends all its bytes.
func TestMirrors_UnprovenVersionsAreNotMixed(t *testing.T) {
	t.Parallel()
	const length = 4 << 20
	a, b := bytes.Repeat([]byte("a"), length), bytes.Repeat([]byte("b"), length)
	day := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		source, mirror http.Handler
		together       bool
	}{
		"the same strong ETag":        {versioned(a, `"1"`, day), versioned(a, `"1"`, day), true},
		"another ETag":                {versioned(a, `"1"`, day), versioned(b, `"2"`, day), false},
		"another date":                {versioned(a, `"1"`, day), versioned(b, `"1"`, day.AddDate(0, 0, 1)), false},
		"another length":              {versioned(a, `"1"`, day), versioned(b[:length-1], `"1"`, day), false},
		"the same weak ETag":          {versioned(a, `W/"1"`, day), versioned(b, `W/"1"`, day), false},
		"the same date and no ETag":   {versioned(a, "", day), versioned(b, "", day), false},
		"an ETag of one only":         {versioned(a, `"1"`, day), versioned(b, "", day), false},
		"a version of the other only": {versioned(a, "", time.Time{}), versioned(b, `"1"`, day), false},
		"no version at all":           {versioned(a, "", time.Time{}), versioned(b, "", time.Time{}), false},
		"a probe that hangs":          {versioned(a, `"1"`, day), besides(http.MethodHead, silent, versioned(b, `"1"`, day)), false},
		"a probe that is refused":     {versioned(a, `"1"`, day), besides(http.MethodHead, ill, versioned(b, `"1"`, day)), false},
		"two probes that hang":        {besides(http.MethodHead, silent, versioned(a, "", day)), besides(http.MethodHead, silent, versioned(b, "", day)), false},
		"a probe that the file contradicts": {versioned(a, `"1"`, day),
			besides(http.MethodGet, versioned(b, `"2"`, day).ServeHTTP, versioned(a, `"1"`, day)), false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var throttle downloadtest.Throttle
			throttle.Set(8 << 20)
			source := downloadtest.Serve(t, throttle.Slow(c.source))
			mirror := downloadtest.Serve(t, throttle.Slow(c.mirror))
			e := newAria2(t, t.TempDir())
			job := downloadtest.Job(t, "mixed", source.URL+"/file", atOnce...)
			// aria2c opens one connection to each host.
			job.Task.Mirrors = []string{strings.Replace(mirror.URL, "127.0.0.1", "localhost", 1) + "/file"}
			downloadtest.Add(t, e, job)
			downloadtest.MustComplete(t, e, job, a)
			one, other := source.Sent.Load(), mirror.Sent.Load()
			switch {
			case c.together && (one == 0 || other == 0 || one+other > length*11/10):
				t.Errorf("the source sent %d bytes and the mirror %d, which has the same file of %d", one, other, length)
			case !c.together && one < length:
				t.Errorf("the source sent %d bytes, the mirror %d", one, other)
			}
		})
	}
}

// A source that fails without a proof of its version is replaced by the next one, from
// the first byte on.
func TestMirrors_NextSourceStartsOver(t *testing.T) {
	t.Parallel()
	const length = 4 << 20
	a, b := bytes.Repeat([]byte("a"), length), bytes.Repeat([]byte("b"), length)
	day := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	broken := func(h http.Handler) http.Handler { return downloadtest.Cut(h, length/2, 1) }
	for name, c := range map[string]struct {
		before, after http.Handler // of the source: until its first drop, and then
		mirror        http.Handler
	}{
		"it is gone after half of the file":            {versioned(a, "", day), http.HandlerFunc(ill), versioned(b, "", day)},
		"it has no version, and is gone after half":    {versioned(a, "", time.Time{}), http.HandlerFunc(ill), versioned(b, "", time.Time{})},
		"no probe is answered, and it is gone":         {besides(http.MethodHead, ill, versioned(a, "", day)), http.HandlerFunc(ill), besides(http.MethodHead, ill, versioned(b, "", day))},
		"it refuses the rest":                          {versioned(a, `"1"`, day), http.NotFoundHandler(), versioned(b, `"2"`, day)},
		"a mirror whose probe hangs has the file only": {versioned(a, "", day), http.HandlerFunc(ill), besides(http.MethodHead, silent, versioned(b, "", day))},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var gets atomic.Int64
			first := broken(c.before)
			source := downloadtest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				switch {
				case r.Method == http.MethodGet && gets.Add(1) > 1 || gets.Load() > 1:
					c.after.ServeHTTP(w, r)
				default:
					first.ServeHTTP(w, r)
				}
			}))
			mirror := downloadtest.Serve(t, c.mirror)
			e := newAria2(t, t.TempDir())
			job := downloadtest.Job(t, "next", source.URL+"/file", append([]string{"max-tries", "2"}, atOnce...)...)
			job.Task.Mirrors = []string{strings.Replace(mirror.URL, "127.0.0.1", "localhost", 1) + "/file"}
			downloadtest.Add(t, e, job)
			downloadtest.MustComplete(t, e, job, b)
		})
	}
}

// A mirror that changed meanwhile, or does not say its version at the end, is no longer
// proven: the file is fetched again from one source.
func TestMirrors_ChangeMeanwhileIsNotMixed(t *testing.T) {
	t.Parallel()
	const length = 4 << 20
	a, b := bytes.Repeat([]byte("a"), length), bytes.Repeat([]byte("b"), length)
	// It serves the new file for each GET, whatever If-Range says.
	changed := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Header.Del("If-Range")
		versioned(b, `"2"`, time.Time{}).ServeHTTP(w, r)
	})
	for name, end := range map[string]http.Handler{"it has another version at the end": changed, "it is gone at the end": http.HandlerFunc(ill)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var throttle downloadtest.Throttle
			throttle.Set(8 << 20)
			source := downloadtest.Serve(t, throttle.Slow(versioned(a, `"1"`, time.Time{})))
			var begun atomic.Bool
			mirror := downloadtest.Serve(t, throttle.Slow(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				switch {
				case r.Method == http.MethodGet:
					begun.Store(true)
					changed.ServeHTTP(w, r)
				case begun.Load():
					end.ServeHTTP(w, r)
				default:
					versioned(a, `"1"`, time.Time{}).ServeHTTP(w, r)
				}
			})))
			e := newAria2(t, t.TempDir())
			job := downloadtest.Job(t, "changed", source.URL+"/file", atOnce...)
			job.Task.Mirrors = []string{strings.Replace(mirror.URL, "127.0.0.1", "localhost", 1) + "/file"}
			downloadtest.Add(t, e, job)
			downloadtest.MustComplete(t, e, job, a)
			if !begun.Load() {
				t.Error("aria2c did not use the mirror")
			}
		})
	}
}

// The sources of existing bytes are confirmed too: a mirror that has another version after
// a new start of the worker may have sent a part of them.
func TestMirrors_SourcesOfExistingBytesAreConfirmed(t *testing.T) {
	t.Parallel()
	const length = 4 << 20
	a, b := bytes.Repeat([]byte("a"), length), bytes.Repeat([]byte("b"), length)
	var throttle downloadtest.Throttle
	throttle.Set(1 << 20)
	source := downloadtest.Serve(t, throttle.Slow(versioned(a, `"1"`, time.Time{})))
	var begun atomic.Bool
	mirror := downloadtest.Serve(t, throttle.Slow(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet || begun.Load() {
			begun.Store(true)
			r.Header.Del("If-Range")
			versioned(b, `"2"`, time.Time{}).ServeHTTP(w, r)
			return
		}
		versioned(a, `"1"`, time.Time{}).ServeHTTP(w, r)
	})))
	e := newAria2(t, t.TempDir())
	job := downloadtest.Job(t, "kept", source.URL+"/file", atOnce...)
	job.Task.Mirrors = []string{strings.Replace(mirror.URL, "127.0.0.1", "localhost", 1) + "/file"}
	downloadtest.Add(t, e, job)
	downloadtest.Await(t, e, "kept", downloadtest.Reached(length/4))
	downloadtest.Remove(t, e, "kept")
	if !begun.Load() {
		t.Fatal("aria2c did not use the mirror")
	}
	throttle.Set(32 << 20)
	downloadtest.Add(t, e, job)
	downloadtest.MustComplete(t, e, job, a)
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
	var probes atomic.Int64
	mirror := downloadtest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		probes.Add(1)
		_, _ = w.Write([]byte("<html>a page</html>")) // a client that left sees it
	}))
	e := newAria2(t, t.TempDir())
	job := downloadtest.Job(t, "page", source.URL+"/file")
	job.Task.Mirrors = []string{mirror.URL + "/file"}
	downloadtest.Add(t, e, job)
	downloadtest.MustComplete(t, e, job, data)
	if probes.Load() < 2 {
		t.Error("the mirror was not asked after the source")
	}
}

// Another source has the same file if its strong ETag, date and length are the same.
func TestPeersOf_HaveTheSameStrongETag(t *testing.T) {
	kept := version{Source: "s", ETag: `"1"`, LastModified: "date", Length: 5}
	for name, c := range map[string]struct {
		change func(v *version)
		want   bool
	}{
		"the same elsewhere":  {func(*version) {}, true},
		"another ETag":        {func(v *version) { v.ETag = `"2"` }, false},
		"a weak ETag":         {func(v *version) { v.ETag = `W/"1"` }, false},
		"no ETag":             {func(v *version) { v.ETag = "" }, false},
		"another length":      {func(v *version) { v.Length = 6 }, false},
		"no length":           {func(v *version) { v.Length = -1 }, false},
		"another date":        {func(v *version) { v.LastModified = "later" }, false},
		"no date":             {func(v *version) { v.LastModified = "" }, false},
		"a length in dispute": {func(v *version) { v.odd = true }, false},
	} {
		v, other := kept, kept
		other.Source = "t"
		c.change(&other)
		answers := []probeResult{{}, {version: &v}, {version: &other}, {version: unversioned("u")}}
		if got := peersOf(1, answers); slices.Equal(got, []int{2}) != c.want || len(got) > 1 {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// haltedWriter writes the first bytes of a body, and the others after until is closed.
type haltedWriter struct {
	http.ResponseWriter
	until chan struct{}
	begun bool
}

func (w *haltedWriter) Write(p []byte) (int, error) {
	if w.begun {
		<-w.until
	}
	w.begun = true
	return w.ResponseWriter.Write(p)
}

// While its sources are asked whether a file is of one version, the job has every byte.
func TestConfirm_JobHasEveryByteMeanwhile(t *testing.T) {
	t.Parallel()
	data := bytes.Repeat([]byte("a"), 2<<20)
	file := versioned(data, `"1"`, time.Time{})
	var begun atomic.Bool
	answer, both := make(chan struct{}), make(chan struct{})
	var second sync.Once
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == http.MethodGet && begun.Swap(true):
			second.Do(func() { close(both) })
		case r.Method == http.MethodGet:
			w = &haltedWriter{ResponseWriter: w, until: both}
		case begun.Load():
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
