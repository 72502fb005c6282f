package direct

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aria-cluster/dispatcher/internal/worker/download"
	"github.com/aria-cluster/dispatcher/internal/worker/download/downloadtest"
)

// fromMirrors are the options of a task that wants one connection to each of two sources.
var fromMirrors = []string{"split", "2", "min-split-size", "1M"}

// A mirror continues the bytes of another source only with the same strong ETag. The same
// date may be that of another file, at a server that does not know If-Range.
func TestResume_MirrorNeedsTheSameETag(t *testing.T) {
	t.Parallel()
	const length = 2 << 20
	one, other := bytes.Repeat([]byte("a"), length), bytes.Repeat([]byte("b"), length)
	day := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	serve := func(data []byte, tag string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if tag != "" {
				w.Header().Set("ETag", tag)
			} else {
				r.Header.Del("If-Range") // as a server that does not know it
			}
			http.ServeContent(w, r, "", day, bytes.NewReader(data))
		})
	}
	e := newDirect(t)
	for name, c := range map[string]struct {
		mirror http.Handler
		want   []byte
		sent   int64 // by the mirror
	}{
		"no-etag":      {serve(other, ""), other, length},
		"another-etag": {serve(other, `"2"`), other, length},
		"the-same":     {serve(one, `"1"`), one, length / 2},
	} {
		t.Run(name, func(t *testing.T) {
			cut := downloadtest.Cut(serve(one, `"1"`), length/2, 1)
			var gets atomic.Int64
			source := downloadtest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if gets.Add(1) > 1 {
					w.WriteHeader(http.StatusNotFound)
					return
				}
				cut.ServeHTTP(w, r)
			}))
			mirror := downloadtest.Serve(t, c.mirror)
			job := downloadtest.Job(t, name, source.URL+"/file")
			job.Task.Mirrors = []string{mirror.URL + "/file"}
			downloadtest.Add(t, e, job)
			downloadtest.MustComplete(t, e, job, c.want)
			if sent := mirror.Sent.Load(); sent < c.sent || sent > 2*length {
				t.Errorf("the mirror sent %d bytes", sent)
			}
		})
	}
}

// dated serves data with a date and, unless it is empty, an ETag.
func dated(data []byte, tag string) http.Handler {
	day := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if tag != "" {
			w.Header().Set("ETag", tag)
		}
		http.ServeContent(w, r, "", day, bytes.NewReader(data))
	})
}

// Mirrors are used at once if the task has a split and each response proves the version of the
// first one. A mirror that cannot help costs no byte and no failure.
func TestMirrors_AtOnceOnlyWithOneVersion(t *testing.T) {
	t.Parallel()
	const length = 4 << 20
	data, other := downloadtest.Data(length), bytes.Repeat([]byte("b"), length)
	sum := sha256.Sum256(data)
	deaf := func(h http.Handler) http.Handler { // to If-Range
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			r.Header.Del("If-Range")
			h.ServeHTTP(w, r)
		})
	}
	e := open(t, Config{Slots: 32, StallTimeout: time.Second})
	for name, c := range map[string]struct {
		source, mirror http.Handler
		options        []string
		checksum       bool
		together       bool
	}{
		"the same strong ETag":          {dated(data, `"1"`), dated(data, `"1"`), fromMirrors, false, true},
		"the same, deaf to If-Range":    {dated(data, `"1"`), deaf(dated(data, `"1"`)), fromMirrors, false, true},
		"another ETag with a checksum":  {dated(data, `"1"`), dated(data, `"2"`), fromMirrors, true, true},
		"another file with a checksum":  {dated(data, `"1"`), dated(other, `"2"`), fromMirrors, true, true},
		"no split":                      {dated(data, `"1"`), dated(data, `"1"`), nil, false, false},
		"a short file":                  {dated(data, `"1"`), dated(data, `"1"`), []string{"split", "2"}, false, false},
		"another ETag":                  {dated(data, `"1"`), deaf(dated(other, `"2"`)), fromMirrors, false, false},
		"a weak ETag":                   {dated(data, `W/"1"`), deaf(dated(other, `W/"1"`)), fromMirrors, false, false},
		"an ETag of the mirror only":    {dated(data, ""), deaf(dated(other, `"1"`)), fromMirrors, false, false},
		"an ETag of the source only":    {dated(data, `"1"`), deaf(dated(other, "")), fromMirrors, false, false},
		"another length":                {dated(data, `"1"`), deaf(dated(other[1:], `"1"`)), fromMirrors, false, false},
		"another length, with checksum": {dated(data, `"1"`), deaf(dated(other[1:], `"1"`)), fromMirrors, true, false},
		"a mirror without the file":     {dated(data, `"1"`), http.NotFoundHandler(), fromMirrors, false, false},
		"a mirror that does not answer": {dated(data, `"1"`), http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }), fromMirrors, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var throttle downloadtest.Throttle
			throttle.Set(8 << 20)
			source := downloadtest.Serve(t, throttle.Slow(c.source))
			mirror := downloadtest.Serve(t, throttle.Slow(c.mirror))
			job := downloadtest.Job(t, name, source.URL+"/file", c.options...)
			job.Task.Mirrors = []string{mirror.URL + "/file"}
			if c.checksum {
				job.Task.Checksum = fmt.Sprintf("sha-256=%x", sum)
			}
			downloadtest.Add(t, e, job)
			downloadtest.MustComplete(t, e, job, data)
			if helped := source.Sent.Load() < length && mirror.Sent.Load() > 0; helped != c.together && name != "another file with a checksum" {
				t.Errorf("the source sent %d bytes, the mirror %d", source.Sent.Load(), mirror.Sent.Load())
			}
		})
	}
}

// A mirror that breaks off is continued, and one that breaks off always does not hold the file up.
func TestMirrors_BrokenMirrorDoesNotFailTheFile(t *testing.T) {
	t.Parallel()
	data := downloadtest.Data(6 << 20)
	e := open(t, Config{})
	for name, times := range map[string]int{"once": 1, "always": -1} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var throttle downloadtest.Throttle
			throttle.Set(4 << 20)
			source := downloadtest.Serve(t, throttle.Slow(dated(data, `"1"`)))
			mirror := downloadtest.Serve(t, downloadtest.Cut(dated(data, `"1"`), 300_000, times))
			job := downloadtest.Job(t, name, source.URL+"/file", fromMirrors...)
			job.Task.Mirrors = []string{mirror.URL + "/file"}
			downloadtest.Add(t, e, job)
			downloadtest.MustComplete(t, e, job, data)
			if sent := source.Sent.Load() + mirror.Sent.Load(); mirror.Requests.Load() < 2 || sent > int64(len(data))*3/2 {
				t.Errorf("the mirror had %d requests, and both sent %d bytes", mirror.Requests.Load(), sent)
			}
		})
	}
}

// Links that work once are given as source and mirrors: the first one brings the file, and no
// mirror is asked before.
func TestMirrors_LinksThatWorkOnceArrive(t *testing.T) {
	t.Parallel()
	data := downloadtest.Data(4 << 20)
	e := open(t, Config{})
	once := func() (*downloadtest.Server, *atomic.Int64) {
		var asked atomic.Int64
		return downloadtest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if asked.Add(1) > 1 {
				w.WriteHeader(http.StatusGone)
				return
			}
			dated(data, `"1"`).ServeHTTP(w, r)
		})), &asked
	}
	for name, options := range map[string][]string{"one connection": nil, "several": fromMirrors, "several to each": append([]string{"max-connection-per-server", "4"}, fromMirrors...)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			source, _ := once()
			mirror, asked := once()
			job := downloadtest.Job(t, name, source.URL+"/file", options...)
			job.Task.Mirrors = []string{mirror.URL + "/file", mirror.URL + "/file", source.URL + "/file"}
			downloadtest.Add(t, e, job)
			downloadtest.MustComplete(t, e, job, data)
			if n := asked.Load(); options == nil && n > 0 {
				t.Errorf("the mirror had %d requests", n)
			}
		})
	}
}

// What one server does with If-Range says nothing of another one: a mirror that sends the whole file
// for each range costs the source, which does so for If-Range only, none of its bytes.
func TestMirrors_IfRangeIsJudgedForEachServer(t *testing.T) {
	t.Parallel()
	data := downloadtest.Data(8 << 20)
	e := open(t, Config{})
	wholeFor := func(header string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get(header) != "" {
				r.Header.Del("Range")
			}
			dated(data, `"1"`).ServeHTTP(w, r)
		})
	}
	var throttle downloadtest.Throttle
	throttle.Set(32 << 20) // the mirror has answered before the source drops its first response
	source := downloadtest.Serve(t, throttle.Slow(downloadtest.Cut(wholeFor("If-Range"), 3<<20, -1)))
	mirror := downloadtest.Serve(t, downloadtest.Cut(wholeFor("Range"), 2<<20, -1))
	job := downloadtest.Job(t, "f", source.URL+"/file", append([]string{"retry-wait", "0"}, fromMirrors...)...)
	job.Task.Mirrors = []string{mirror.URL + "/file"}
	downloadtest.Add(t, e, job)
	downloadtest.MustComplete(t, e, job, data)
	if sent := source.Sent.Load(); sent > 12<<20 {
		t.Errorf("the source sent %d KiB of a file of 8 MiB", sent>>10)
	}
}

// A slow mirror does not hold up the end of a file: the source takes more and more of what is left.
func TestMirrors_SlowOneDoesNotHoldUpTheEnd(t *testing.T) {
	t.Parallel()
	data := downloadtest.Data(4 << 20)
	e := open(t, Config{})
	var slow downloadtest.Throttle
	slow.Set(50_000)
	source := downloadtest.Serve(t, dated(data, `"1"`))
	mirror := downloadtest.Serve(t, slow.Slow(dated(data, `"1"`)))
	job := downloadtest.Job(t, "f", source.URL+"/file", fromMirrors...)
	job.Task.Mirrors = []string{mirror.URL + "/file"}
	downloadtest.Add(t, e, job)
	downloadtest.MustComplete(t, e, job, data)
	if sent := mirror.Sent.Load(); sent > 1<<20 {
		t.Errorf("the mirror sent %d KiB, half of 4 MiB was its part", sent>>10)
	}
}

// The connections of a task are divided among its servers.
func TestMirrorsAtOnce_KeepsTheTasksLimits(t *testing.T) {
	t.Parallel()
	mirrors := []string{"http://b/f", "http://a/other", "http://c/f", "http://b/g"}
	for name, c := range map[string]struct {
		options []string
		at      string
		bad     []string
		want    string
	}{
		"no split":           {nil, "http://a/f", nil, ""},
		"two":                {[]string{"split", "2"}, "http://a/f", nil, "http://b/f"},
		"one of each server": {[]string{"split", "9"}, "http://a/f", nil, "http://b/f http://c/f"},
		"two of each server": {[]string{"split", "9", "max-connection-per-server", "2"}, "http://a/f", nil, "http://b/f http://c/f http://b/g http://c/f"},
		"at a mirror":        {[]string{"split", "9"}, "http://c/f", nil, "http://a/f http://b/f"},
		"a bad one":          {[]string{"split", "9"}, "http://a/f", []string{"http://b/f"}, "http://c/f http://b/g"},
		"all of one server":  {[]string{"split", "2", "max-connection-per-server", "2"}, "http://a/f", nil, ""},
	} {
		dj := downloadtest.Job(t, "j", "http://a/f", c.options...)
		dj.Task.Mirrors = mirrors
		j := &job{Job: dj, settings: settingsOf(&dj.Task.TaskSpec, 0), source: download.HashOf(c.at), badMirrors: c.bad}
		first, err := url.Parse(c.at)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(j.mirrorsAtOnce(first), " "); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}
