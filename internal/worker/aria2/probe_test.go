package aria2

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aria-cluster/dispatcher/internal/worker/download"
	"github.com/aria-cluster/dispatcher/internal/worker/download/downloadtest"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// A probe asks the sources in turn, and without HEAD where that is refused.
func TestProbe_AsksSourcesInTurn(t *testing.T) {
	gone := downloadtest.Serve(t, http.NotFoundHandler())
	ill := downloadtest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }))
	good := downloadtest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); r.Method == http.MethodHead || user != "me" || password != "secret" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		downloadtest.Content([]byte("0123456789")).ServeHTTP(w, r)
	}))
	spec := model.TaskSpec{
		URL: gone.URL + "/f", Mirrors: []string{ill.URL + "/f", good.URL + "/f"},
		Options: model.Options{"http-user": {"me"}, "http-passwd": {"secret"}},
	}
	v := probe(t, &spec).version
	if v == nil || v.Length != 10 || v.ETag == "" || v.LastModified == "" || v.head || v.Source != download.HashOf(good.URL+"/f") {
		t.Errorf("%+v", v)
	}
	if n := good.Sent.Load(); n != 1 {
		t.Errorf("the server sent %d bytes, want 1", n)
	}
	if n := ill.Requests.Load(); n != 1 { // with a password it is asked as by a download
		t.Errorf("a server that is ill was asked %d times", n)
	}
	spec.Mirrors, spec.Options = spec.Mirrors[:1], nil
	if f := probe(t, &spec); f.version != nil || !errors.Is(f.err, download.StatusError(http.StatusServiceUnavailable)) {
		t.Errorf("%+v", f)
	}
}

// The probe of a task with credentials accepts a source that does not use HTTP without a
// request.
func TestProbe_NonHTTPSourceNeedsNoAnswer(t *testing.T) {
	gone := downloadtest.Serve(t, http.NotFoundHandler())
	spec := model.TaskSpec{URL: gone.URL + "/f", Mirrors: []string{"ftp://127.0.0.1/f"}}
	if f := probe(t, &spec); f.version != nil {
		t.Errorf("without credentials: %+v", f.version)
	}
	spec.Options = model.Options{"header": {"X-Token: t"}}
	if v := probe(t, &spec).version; v == nil || v.at != 1 || v.Source != download.HashOf(spec.Mirrors[0]) || v.Length != -1 {
		t.Errorf("%+v", v)
	}
}

func probe(t *testing.T, spec *model.TaskSpec) probeResult {
	t.Helper()
	q := versionQuery{spec: spec, transport: download.NewTransport(downloadtest.Loopback(t), probeTimeout), timeout: probeTimeout}
	return q.ask(t.Context())
}

// A probe sends passwords only to their own host.
func TestProbe_SendsPasswordsToTheirHostOnly(t *testing.T) {
	told := make(chan http.Header, 1)
	other := downloadtest.Serve(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { told <- r.Header }))
	s := downloadtest.Serve(t, http.RedirectHandler(other.URL, http.StatusFound))
	spec := model.TaskSpec{URL: s.URL, Options: model.Options{
		"http-user": {"me"}, "http-passwd": {"secret"}, "header": {"Cookie: a=b", "X-Token: t"}, "user-agent": {"agent"},
	}}
	if probe(t, &spec).version == nil {
		t.Fatal("the redirect is not followed")
	}
	got := <-told
	for _, name := range []string{"Authorization", "Cookie", "X-Token"} {
		if got.Get(name) != "" {
			t.Errorf("another host is told %s: %s", name, got.Get(name))
		}
	}
	if got.Get("User-Agent") != "agent" {
		t.Errorf("user-agent: %q", got.Get("User-Agent"))
	}
}

// rangeless answers status to whoever asks for a range, and has no HEAD.
func rangeless(status int, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == http.MethodHead:
			w.WriteHeader(http.StatusMethodNotAllowed)
		case r.Header.Get("Range") != "":
			w.WriteHeader(status)
		default:
			h.ServeHTTP(w, r)
		}
	})
}

// A file whose server refuses range requests is fetched.
func TestProbe_FileWithoutRangesIsFetched(t *testing.T) {
	t.Parallel()
	e := newAria2(t, t.TempDir())
	for name, c := range map[string]struct {
		status int
		length int
		option string
		value  string
	}{
		"an empty one, with a header":                   {http.StatusRequestedRangeNotSatisfiable, 0, "header", "X-Token: t"},
		"an empty one, with a password":                 {http.StatusRequestedRangeNotSatisfiable, 0, "http-user", "me"},
		"an empty one, with nothing to confide":         {http.StatusRequestedRangeNotSatisfiable, 0, "split", "1"},
		"of a server that does not know Range":          {http.StatusNotImplemented, 50_000, "header", "X-Token: t"},
		"of a server that takes Range for a bad header": {http.StatusBadRequest, 50_000, "referer", "http://inner.example/"},
	} {
		t.Run(name, func(t *testing.T) {
			data := downloadtest.Data(c.length)
			s := downloadtest.Serve(t, rangeless(c.status, downloadtest.Content(data)))
			job := downloadtest.Job(t, strconv.Itoa(c.status)+c.option, s.URL+"/file", c.option, c.value)
			downloadtest.Add(t, e, job)
			downloadtest.MustComplete(t, e, job, data)
		})
	}
}

// A probe does not read the body of a GET request.
func TestProbe_ReadsNoBody(t *testing.T) {
	ended := make(chan struct{})
	s := downloadtest.Serve(t, rangeless(http.StatusNotImplemented, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		defer close(ended)
		for part := make([]byte, 1<<16); ; {
			if _, err := w.Write(part); err != nil {
				return
			}
		}
	})))
	if v := probe(t, &model.TaskSpec{URL: s.URL + "/endless"}).version; v == nil || v.Length != -1 {
		t.Errorf("%+v", v)
	}
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Error("the server still sends")
	}
}

// late answers 200 after a time for each host.
type late map[string]time.Duration

func (l late) RoundTrip(r *http.Request) (*http.Response, error) {
	if !download.Pause(r.Context(), l[r.URL.Host]) {
		return nil, r.Context().Err()
	}
	return &http.Response{StatusCode: http.StatusOK, Request: r, Header: http.Header{}, Body: http.NoBody}, nil
}

// A probe takes at most its timeout, 2 s before a download that needs no answer. A
// source that must answer has a timeout of its own.
func TestProbe_TimeoutDependsOnItsPurpose(t *testing.T) {
	hosts := late{"slow": 40 * time.Second, "silent": time.Hour, "soon": 10 * time.Second, "quick": time.Second}
	const minute, none = time.Minute, -1
	for name, c := range map[string]struct {
		sources  string
		timeout  time.Duration
		patience time.Duration
		at       int
		took     time.Duration
	}{
		"a slow one is waited for":                  {"slow", 0, minute, 0, 40 * time.Second},
		"a silent one costs the next nothing":       {"silent silent slow", 0, minute, 2, 160 * time.Second},
		"a silent one alone gives no answer":        {"silent", 0, minute, none, minute},
		"after a download, all have 15 s":           {"silent soon", probeTimeout, 0, none, 15 * time.Second},
		"after a download, one that is soon does":   {"soon silent", probeTimeout, 0, 0, 10 * time.Second},
		"before a download, all have 2 s":           {"silent quick", optionalTimeout, 0, none, 2 * time.Second},
		"before a download, one that is quick does": {"quick silent", optionalTimeout, 0, 0, time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var urls []string
				for host := range strings.FieldsSeq(c.sources) {
					urls = append(urls, "http://"+host+"/f")
				}
				q := versionQuery{
					spec:      &model.TaskSpec{URL: urls[0], Mirrors: urls[1:], Options: model.Options{"header": {"X-Token: t"}}},
					transport: hosts, timeout: c.timeout, sourceTimeout: c.patience,
				}
				began := time.Now()
				f := q.ask(t.Context())
				if took := time.Since(began); took != c.took {
					t.Errorf("it took %v, want %v", took, c.took)
				}
				switch {
				case c.at == none && (f.version != nil || !errors.Is(f.err, context.DeadlineExceeded)):
					t.Errorf("%+v, %v", f.version, f.err)
				case c.at != none && (f.version == nil || f.version.at != c.at):
					t.Errorf("%+v, %v", f.version, f.err)
				}
			})
		})
	}
}

// The query before a download waits 2 s, except for a task with credentials.
func TestPrepareQuery_TimeoutDependsOnCredentials(t *testing.T) {
	e := &Engine{cfg: Config{StallTimeout: time.Minute}}
	plain := &job{Job: download.Job{Task: &model.Task{TaskSpec: model.TaskSpec{URL: "http://h/f"}}}}
	if q := e.prepareQuery(plain); q.timeout != optionalTimeout || q.sourceTimeout != 0 {
		t.Errorf("without credentials: %v, %v", q.timeout, q.sourceTimeout)
	}
	secret := &job{Job: download.Job{Task: &model.Task{TaskSpec: model.TaskSpec{URL: "http://me:pw@h/f"}}}}
	if q := e.prepareQuery(secret); q.sourceTimeout != time.Minute {
		t.Errorf("with credentials: %v", q.sourceTimeout)
	}
}

// The timeout of a silent source is the task's, or else the worker's.
func TestTimeout_OfTheTaskPrecedesTheWorkers(t *testing.T) {
	for _, c := range []struct {
		option string
		stall  time.Duration
		want   time.Duration
	}{
		{"", download.DefaultStallTimeout, time.Minute}, {"300", download.DefaultStallTimeout, 5 * time.Minute},
		{"1", download.DefaultStallTimeout, time.Second}, {"", time.Millisecond, time.Second},
	} {
		j := &job{Job: download.Job{Task: &model.Task{}}}
		if c.option != "" {
			j.Task.Options = model.Options{"timeout": {c.option}}
		}
		if got := j.timeout(c.stall); got != c.want {
			t.Errorf("option %q, worker %v: %v, want %v", c.option, c.stall, got, c.want)
		}
	}
}

// A task with credentials leaves a silent source after its timeout.
func TestProbe_SilentSourceIsLeftAfterTimeout(t *testing.T) {
	t.Parallel()
	data := downloadtest.Data(50_000)
	silent := downloadtest.Serve(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	good := downloadtest.Serve(t, downloadtest.Content(data))
	e := newAria2(t, t.TempDir())
	job := downloadtest.Job(t, "left", silent.URL+"/file", "header", "X-Token: t", "timeout", "1")
	job.Task.Mirrors = []string{good.URL + "/file"}
	began := time.Now()
	downloadtest.Add(t, e, job)
	downloadtest.MustComplete(t, e, job, data)
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("it took %v", took)
	}
}
