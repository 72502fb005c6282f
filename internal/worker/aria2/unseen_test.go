package aria2

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aria-cluster/dispatcher/internal/worker/download"
	"github.com/aria-cluster/dispatcher/internal/worker/download/downloadtest"
	"github.com/aria-cluster/dispatcher/internal/worker/metalink"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// newTrusting makes an engine whose aria2c trusts the servers of downloadtest.ServeTLS.
func newTrusting(t *testing.T) *Engine {
	t.Helper()
	return startEngine(t, Config{Binary: downloadtest.TrustingAria2c(t, needAria2c(t)), Slots: 16})
}

// A file over TLS comes in one response and costs its bytes once. Only one that came in several
// responses is read a second time, and a server that fails is asked as often as the task says.
func TestUnseen_FileOfTLSIsReadTwiceOnlyAfterADrop(t *testing.T) {
	t.Parallel()
	data := downloadtest.Data(4 << 20)
	file := versioned(data, `"1"`, time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC))
	moved := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/file" {
			http.Redirect(w, r, "/moved/file", http.StatusFound)
			return
		}
		file.ServeHTTP(w, r)
	})
	e := newTrusting(t)
	for name, c := range map[string]struct {
		handler http.Handler
		options []string
		sent    int64 // lengths of the file, at most
	}{
		"one response":            {file, atOnce, 1},
		"a redirect":              {moved, nil, 1},
		"a date alone":            {dated(data), nil, 1},
		"two errors first":        {downloadtest.FirstAnswer(file, 503, 503), nil, 1},
		"a drop":                  {downloadtest.Cut(file, 1<<20, 1), nil, 2},
		"a drop, and no ETag":     {downloadtest.Cut(dated(data), 1<<20, 1), nil, 2},
		"two drops":               {downloadtest.Cut(file, 1<<20, 2), nil, 2},
		"a drop while read again": {downloadtest.Cut(file, 3<<20, 3), nil, 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			source := downloadtest.ServeTLS(t, c.handler)
			job := downloadtest.Job(t, name, source.URL+"/file", c.options...)
			downloadtest.Add(t, e, job)
			downloadtest.MustComplete(t, e, job, data)
			if sent, most := source.Sent.Load(), c.sent*int64(len(data))+100; sent > most || sent < most-int64(len(data))/2 {
				t.Errorf("the server sent %d bytes of a file of %d", sent, len(data))
			}
		})
	}
}

// A file of a metalink that comes in one response is asked for again if its source closes the
// connection without an answer.
func TestUnseen_MetalinkIsAskedForAgainWithoutAnAnswer(t *testing.T) {
	t.Parallel()
	data := downloadtest.Data(100_000)
	var asked atomic.Bool
	s := downloadtest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !asked.Swap(true) {
			panic(http.ErrAbortHandler)
		}
		downloadtest.Content(data).ServeHTTP(w, r)
	}))
	e := withBT(t)
	job := downloadtest.Job(t, "closed", "")
	job.Task.TaskSpec.Metalink = fmt.Appendf(nil, `<metalink xmlns="urn:ietf:params:xml:ns:metalink"><file name="f.bin"><url>%s/f.bin</url></file></metalink>`, s.URL)
	downloadtest.Add(t, e, job)
	downloadtest.MustComplete(t, e, job, data)
}

// aria2c continues a file at a source that its server names by a header Link, also with other
// bytes. Such a file is not complete.
func TestUnseen_NamedSourceIsNotMixedIn(t *testing.T) {
	t.Parallel()
	data, other := downloadtest.Data(200_000), bytes.Repeat([]byte("o"), 200_000)
	e := newTrusting(t)
	for name, c := range map[string]struct {
		serve   func(*testing.T, http.Handler) *downloadtest.Server
		recover bool // the server has the file again
	}{
		"HTTP":                   {downloadtest.Serve, false},
		"TLS":                    {downloadtest.ServeTLS, false},
		"TLS and the file again": {downloadtest.ServeTLS, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			half := downloadtest.Cut(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Length", fmt.Sprint(len(data)))
				_, _ = w.Write(data) // it is cut
			}), 100_000, 1)
			var gets atomic.Int64
			s := c.serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Link", "<"+map[bool]string{true: "https", false: "http"}[r.TLS != nil]+"://"+r.Host+"/copy>; rel=duplicate")
				switch {
				case r.URL.Path == "/copy":
					http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(other))
				case r.Method == http.MethodHead || c.recover || gets.Add(1) == 1:
					half.ServeHTTP(w, r)
				default:
					w.WriteHeader(http.StatusNotFound)
				}
			}))
			job := downloadtest.Job(t, strings.ReplaceAll(name, " ", "-"), s.URL+"/file")
			downloadtest.Add(t, e, job)
			if c.recover {
				downloadtest.MustComplete(t, e, job, data)
			} else if err := downloadtest.MustFail(t, e, job.Task.ID); err.Code != download.CodeNoResume || !strings.Contains(err.Message, "another source, which its server names") {
				t.Errorf("%+v", err)
			}
		})
	}
}

// A source that a server names gets no credentials, also with allow_bt.
func TestUnseen_NamedSourceGetsNoCredentials(t *testing.T) {
	t.Parallel()
	data := downloadtest.Data(400_000)
	other := otherHostWith(t, downloadtest.Content(data))
	cut := downloadtest.Cut(downloadtest.Content(data), 100_000, 1)
	var gets atomic.Int64
	s := downloadtest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Link", "<"+other.URL+"/copy>; rel=duplicate")
		switch {
		case r.Header.Get("Range") == "bytes=0-0": // of a probe
			downloadtest.Content(data).ServeHTTP(w, r)
		case gets.Add(1) == 1:
			cut.ServeHTTP(w, r)
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	e := startEngine(t, Config{AllowBT: true})
	downloadtest.Add(t, e, downloadtest.Job(t, "named", s.URL+"/file", "header", "X-Token: t"))
	if err := downloadtest.MustFail(t, e, "named"); !strings.Contains(err.Message, "leads there now") {
		t.Errorf("%+v", err)
	}
	if n := other.Requests.Load(); n > 0 {
		t.Errorf("the other server got %d requests", n)
	}
}

// A link that expires when the file has come, after a drop, does not undo the download.
func TestUnseen_ExpiredLinkKeepsFinishedFile(t *testing.T) {
	t.Parallel()
	data := downloadtest.Data(4 << 20)
	file := downloadtest.Cut(versioned(data, `"1"`, time.Time{}), 1<<20, 1)
	var expired atomic.Bool
	source := downloadtest.ServeTLS(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if expired.Load() {
			http.Error(w, "expired", http.StatusForbidden)
			return
		}
		file.ServeHTTP(w, r)
		if rest := r.Header.Get("Range"); r.Method == http.MethodGet && rest != "" && !strings.HasPrefix(rest, "bytes=0-") {
			expired.Store(true)
		}
	}))
	e := newTrusting(t)
	job := downloadtest.Job(t, "signed", source.URL+"/file")
	downloadtest.Add(t, e, job)
	downloadtest.MustComplete(t, e, job, data)
	if !expired.Load() {
		t.Error("the file came in one response")
	}
}

// A server that refuses each request is asked as often as the task says, and then fails.
func TestUnseen_TriesAreThoseOfTheTask(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	source := downloadtest.ServeTLS(t, besides(http.MethodGet, func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		ill(w, r)
	}, downloadtest.Content([]byte("file"))))
	e := newTrusting(t)
	downloadtest.Add(t, e, downloadtest.Job(t, "ill", source.URL+"/file", "max-tries", "3"))
	if err := downloadtest.MustFail(t, e, "ill"); err.Class != model.ClassRetryable || asked.Load() != 3 {
		t.Errorf("%d requests, %+v", asked.Load(), err)
	}
}

// A mirror has as many tries as the source before it.
func TestUnseen_EachSourceHasItsTries(t *testing.T) {
	t.Parallel()
	data := downloadtest.Data(100_000)
	source := downloadtest.ServeTLS(t, besides(http.MethodGet, ill, downloadtest.Content(data)))
	var asked atomic.Int64
	mirror := downloadtest.ServeTLS(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet && asked.Add(1) <= 2 {
			ill(w, r)
			return
		}
		downloadtest.Content(data).ServeHTTP(w, r)
	}))
	e := newTrusting(t)
	job := downloadtest.Job(t, "f", source.URL+"/file", "max-tries", "3", "retry-wait", "1")
	job.Task.Mirrors = []string{mirror.URL + "/file"}
	downloadtest.Add(t, e, job)
	downloadtest.MustComplete(t, e, job, data)
}

// Second readings have the share of one download each in the bandwidth of all.
func TestShareBandwidth_CountsSecondReadings(t *testing.T) {
	e := &Engine{jobs: map[string]*job{}}
	e.SetBandwidth(1000)
	v := e.newSupervisor("v")
	for _, id := range []string{"a", "b", "c", "d"} {
		j := &job{Job: downloadtest.Job(t, id, "http://h.example/file"), supervisor: v}
		if id > "b" {
			j.probing, j.purpose = make(chan preparation, 1), toConfirm
		}
		e.jobs[id] = j
	}
	if got := e.jobShare.Load(); got != 1000 {
		t.Errorf("at first %d", got)
	}
	e.shareBandwidth(t.Context(), []*supervisor{v})
	e.SetBandwidth(1000) // no change
	if got := e.jobShare.Load(); got != 250 {
		t.Errorf("%d of 1000 for each of four", got)
	}
}

// The bytes of a file over TLS are kept when the worker starts again, and the file is read a second
// time. Bytes of another version are found.
func TestUnseen_KeptBytesAreReadAgain(t *testing.T) {
	t.Parallel()
	const length = 4 << 20
	a, b := bytes.Repeat([]byte("a"), length), bytes.Repeat([]byte("b"), length)
	e := newTrusting(t)
	for name, stale := range map[string]bool{"the same version": false, "another one of the same ETag": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var throttle downloadtest.Throttle
			throttle.Set(1 << 20)
			var gets atomic.Int64
			source := downloadtest.ServeTLS(t, throttle.Slow(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				data := a
				if r.Method == http.MethodGet && gets.Add(1) == 1 && stale {
					data = b
				}
				versioned(data, `"1"`, time.Time{}).ServeHTTP(w, r)
			})))
			job := downloadtest.Job(t, name, source.URL+"/file")
			downloadtest.Add(t, e, job)
			downloadtest.Await(t, e, name, downloadtest.Reached(length/2))
			downloadtest.Remove(t, e, name)
			throttle.Set(16 << 20)
			downloadtest.Add(t, e, job)
			downloadtest.MustComplete(t, e, job, a)
			if sent := source.Sent.Load(); !stale && (sent < length*3/2 || sent > length*5/2) {
				t.Errorf("the server sent %d bytes for a file of %d", sent, length)
			}
		})
	}
}

// With a checksum a file over TLS comes over several connections.
func TestUnseen_ChecksumAllowsSeveralConnections(t *testing.T) {
	t.Parallel()
	data := downloadtest.Data(4 << 20)
	var throttle downloadtest.Throttle
	throttle.Set(4 << 20)
	var now, most atomic.Int64
	source := downloadtest.ServeTLS(t, throttle.Slow(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer now.Add(-1)
		if n := now.Add(1); n > most.Load() {
			most.Store(n)
		}
		downloadtest.Content(data).ServeHTTP(w, r)
	})))
	e := newTrusting(t)
	job := downloadtest.Job(t, "checked", source.URL+"/file", bothAtOnce...)
	job.Task.Checksum = fmt.Sprintf("sha-256=%x", sha256.Sum256(data))
	downloadtest.Add(t, e, job)
	downloadtest.MustComplete(t, e, job, data)
	if most.Load() < 2 {
		t.Error("one connection at a time")
	}
}

// Several connections need a checksum, or a strong ETag that the proxy can compare. Where it sees
// no response, a submit is one response.
func TestLimitResponses_BySourceAndVersion(t *testing.T) {
	strong, date := version{ETag: `"1"`}, version{LastModified: "date"}
	unseen := strong
	unseen.Unseen = true
	remote := &Attach{URL: "http://192.0.2.1:6800/jsonrpc"}
	for name, c := range map[string]struct {
		source   string
		version  *version
		checksum string
		attach   *Attach
		want     string // split, max-tries
	}{
		"a strong ETag":           {"http://h/f", &strong, "", nil, "8 9"},
		"a date":                  {"http://h/f", &date, "", nil, "1 9"},
		"nothing is known":        {"http://h/f", nil, "", nil, "1 1"},
		"TLS":                     {"https://h/f", &strong, "", nil, "1 1"},
		"TLS in capitals":         {"HTTPS://h/f", &strong, "", nil, "1 1"},
		"a redirect to TLS":       {"http://h/f", &unseen, "", nil, "1 1"},
		"TLS with a checksum":     {"https://h/f", nil, "sha-256=aa", nil, "8 9"},
		"FTP":                     {"ftp://h/f", &version{}, "", nil, "8 9"},
		"an aria2 of elsewhere":   {"http://h/f", &strong, "", remote, "1 1"},
		"the same, with checksum": {"http://h/f", &strong, "sha-256=aa", remote, "8 9"},
	} {
		e := &Engine{cfg: Config{Attach: c.attach}}
		j := &job{Job: download.Job{Task: &model.Task{TaskSpec: model.TaskSpec{URL: c.source, Checksum: c.checksum}}}, version: c.version}
		options := map[string]any{"split": "8", "max-tries": "9"}
		e.limitResponses(j, options)
		if got := fmt.Sprint(options["split"], " ", options["max-tries"]); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

// A file of a metalink that nothing verifies comes over one connection, and alone in one response:
// beside files with hashes a drop must not start these over.
func TestLimitResponses_OfMetalinks(t *testing.T) {
	hashed := metalink.File{Hashes: []metalink.Hash{{Kind: "sha-256", Value: "aa"}}}
	for name, c := range map[string]struct {
		files []metalink.File
		want  string // split, max-tries
	}{
		"all verified":   {[]metalink.File{hashed, hashed}, "8 9"},
		"none verified":  {[]metalink.File{{}, {}}, "1 1"},
		"one unverified": {[]metalink.File{hashed, {}}, "1 9"},
	} {
		j := &job{Job: download.Job{Task: &model.Task{TaskSpec: model.TaskSpec{Metalink: []byte("x")}}}, links: &metalink.Metalink{Files: c.files}}
		options := map[string]any{"split": "8", "max-tries": "9"}
		(&Engine{}).limitResponses(j, options)
		if got := fmt.Sprint(options["split"], " ", options["max-tries"]); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}
