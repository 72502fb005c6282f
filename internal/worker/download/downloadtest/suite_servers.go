package downloadtest

import (
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aria-cluster/dispatcher/internal/worker/download"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// The tests of the suite for responses, options and file names.

func notFound(t *testing.T, h harness) {
	s := Serve(t, http.NotFoundHandler())
	e := h.shared
	Add(t, e, Job(t, "gone", s.URL+"/file"))
	if err := MustFail(t, e, "gone"); err.Code != 3 || err.Class != model.ClassPermanent || err.Message == "" {
		t.Errorf("%+v", err)
	}
}

func passingErrors(t *testing.T, h harness) {
	data := Data(100_000)
	s := Serve(t, FirstAnswer(Content(data), 500, 503))
	e := h.shared
	job := Job(t, "ill", s.URL+"/file", "retry-wait", "1")
	Add(t, e, job)
	MustCompleteInTheEnd(t, e, job, data)
}

func wrongChecksum(t *testing.T, h harness) {
	s := Serve(t, Content(Data(100_000)))
	e := h.shared
	job := Job(t, "wrong", s.URL+"/file")
	job.Task.Checksum = "sha-256=" + digest([]byte("something else"))
	Add(t, e, job)
	if err := MustFail(t, e, "wrong"); err.Code != 32 || err.Class != model.ClassPermanent {
		t.Errorf("%+v", err)
	}
	if n := s.Requests.Load(); n != 2 {
		t.Errorf("one clean second try was expected, the server had %d requests", n)
	}
}

func rightChecksum(t *testing.T, h harness) {
	data := Data(100_000)
	s := Serve(t, Content(data))
	e := h.shared
	job := Job(t, "right", s.URL+"/file")
	job.Task.Checksum = "sha-256=" + digest(data)
	Add(t, e, job)
	MustComplete(t, e, job, data)
}

func cutAgainAndAgain(t *testing.T, h harness) {
	data := Data(2 << 20)
	s := Serve(t, Cut(Content(data), 300_000, -1))
	e := h.shared
	job := Job(t, "cut", s.URL+"/file", "max-tries", "2")
	Add(t, e, job)
	MustComplete(t, e, job, data)
	checkSent(t, s, data, 150)
}

func noRange(t *testing.T, h harness) {
	data := Data(2 << 20)
	s := Serve(t, NoRange(Cut(Content(data), 700_000, 1)))
	e := h.shared
	job := Job(t, "no-range", s.URL+"/file")
	Add(t, e, job)
	MustCompleteInTheEnd(t, e, job, data)
}

func speedLimit(t *testing.T, h harness) {
	data := Data(400_000)
	s := Serve(t, Content(data))
	e := h.shared
	job := Job(t, "limited", s.URL+"/file", "max-download-limit", "200K")
	begun := time.Now()
	Add(t, e, job)
	MustComplete(t, e, job, data)
	if took := time.Since(begun); took < time.Second {
		t.Errorf("400 kB at 200 KiB/s took %v", took)
	}
}

func emptyFile(t *testing.T, h harness) {
	s := Serve(t, Content(nil))
	e := h.shared
	job := Job(t, "empty", s.URL+"/empty.txt")
	Add(t, e, job)
	MustComplete(t, e, job, nil)
}

func chunked(t *testing.T, h harness) {
	data := Data(300_000)
	s := Serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i < len(data); i += 100_000 {
			if _, err := w.Write(data[i : i+100_000]); err != nil {
				return
			}
			_ = http.NewResponseController(w).Flush() // a connection that is gone shows with the next write
		}
	}))
	e := h.shared
	job := Job(t, "chunked", s.URL+"/file")
	Add(t, e, job)
	MustComplete(t, e, job, data)
}

func redirect(t *testing.T, h harness) {
	data := Data(100_000)
	mux := http.NewServeMux()
	mux.Handle("/from", http.RedirectHandler("/to", http.StatusFound))
	mux.Handle("/to", Content(data))
	s := Serve(t, mux)
	e := h.shared
	job := Job(t, "redirected", s.URL+"/from")
	Add(t, e, job)
	MustComplete(t, e, job, data)
}

func redirectLoop(t *testing.T, h harness) {
	s := Serve(t, http.RedirectHandler("/again", http.StatusFound))
	e := h.shared
	Add(t, e, Job(t, "loop", s.URL+"/from"))
	if err := MustFail(t, e, "loop"); err.Code != 23 || err.Class != model.ClassPermanent {
		t.Errorf("%+v", err)
	}
}

func options(t *testing.T, h harness) {
	data := Data(1000)
	seen := make(chan http.Header, 10)
	s := Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen <- r.Header
		Content(data).ServeHTTP(w, r)
	}))
	e := h.shared
	job := Job(t, "options", s.URL+"/file", "user-agent", "agent/1", "referer", "http://from.example/",
		"http-user", "me", "http-passwd", "pass word")
	job.Task.Options["header"] = model.OptionValue{"X-One: 1", "Cookie: c=2"}
	Add(t, e, job)
	MustComplete(t, e, job, data)
	got := <-seen
	for name, want := range map[string]string{
		"User-Agent": "agent/1", "Referer": "http://from.example/", "X-One": "1", "Cookie": "c=2",
		"Authorization": "Basic bWU6cGFzcyB3b3Jk",
	} {
		if value := got.Get(name); value != want {
			t.Errorf("header %s is %q, want %q", name, value, want)
		}
	}
}

func lineBreak(t *testing.T, h harness) {
	s := Serve(t, Content(Data(1000)))
	e := h.shared
	for name, value := range map[string]string{
		"user-agent": "a\r\nX-Evil: 1", "header": "X-One: 1\r\nX-Evil: 1", "out": "a\nb", "dir": "/tmp", "all-proxy": "http://127.0.0.1:1",
	} {
		err := e.Add(t.Context(), Job(t, "evil-"+name, s.URL+"/file", name, value))
		if model.CodeOf(err) != model.CodeInvalid {
			t.Errorf("option %s: Add returned %v, not CodeInvalid", name, err)
		}
	}
	if n := s.Requests.Load(); n != 0 {
		t.Errorf("the server had %d requests", n)
	}
}

func mirror(t *testing.T, h harness) {
	data := Data(100_000)
	bad := Serve(t, http.NotFoundHandler())
	good := Serve(t, Content(data))
	e := h.shared
	job := Job(t, "mirrored", bad.URL+"/file")
	job.Task.Mirrors = []string{good.URL + "/file"}
	Add(t, e, job)
	MustComplete(t, e, job, data)
}

func fileNames(t *testing.T, h harness) {
	data := Data(1000)
	e := h.shared
	for id, c := range map[string]struct{ path, disposition string }{
		"dots":      {"/file", `attachment; filename="../../../escaped"`},
		"absolute":  {"/file", `attachment; filename="/tmp/escaped"`},
		"encoded":   {"/file", `attachment; filename*=UTF-8''..%2f..%2fescaped`},
		"backslash": {"/file", `attachment; filename="..\\..\\escaped"`},
		"only-dots": {"/file", `attachment; filename=".."`},
		"url":       {"/%2e%2e%2f%2e%2e%2fescaped", ""},
		"url-dots":  {"/a/%2e%2e", ""},
		"home":      {"/$%7BHOME%7D", ""},
		"control":   {"/escaped.aria2", ""},
	} {
		s := Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if c.disposition != "" {
				w.Header().Set("Content-Disposition", c.disposition)
			}
			Content(data).ServeHTTP(w, r)
		}))
		job := Job(t, "name-"+id, s.URL+c.path)
		Add(t, e, job)
		if state := Await(t, e, "name-"+id, Ended); state.Phase == download.Complete {
			check(t, job, state, data)
		} else {
			t.Logf("%s: fails with %+v, which is as good", id, state.Err)
		}
		for path := range tree(t, filepath.Dir(job.Dir)) {
			if !strings.HasPrefix(path, "task/") {
				t.Errorf("%s: %q is outside the task's folder", id, path)
			}
		}
	}
}

func noPassword(t *testing.T, h harness) {
	s := Serve(t, http.NotFoundHandler())
	e := h.shared
	Add(t, e, Job(t, "secret", strings.Replace(s.URL, "http://", "http://user:pa55word@", 1)+"/file"))
	if err := MustFail(t, e, "secret"); strings.Contains(err.Message, "pa55word") || len(err.Message) > 500 {
		t.Errorf("%+v", err)
	}
}

func emptyUser(t *testing.T, h harness) {
	data := Data(100_000)
	s := Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if sent := r.Header.Values("Authorization"); len(sent) > 0 {
			t.Errorf("%s %s has Authorization: %q", r.Method, r.URL.Path, sent)
		}
		Content(data).ServeHTTP(w, r)
	}))
	for id, user := range map[string]string{"no-user": "@", "no-user-and-no-password": ":@"} {
		job := Job(t, id, strings.Replace(s.URL, "://", "://"+user, 1)+"/"+id)
		Add(t, h.shared, job)
		MustComplete(t, h.shared, job, data)
	}
}

func noServer(t *testing.T, h harness) {
	s := Serve(t, http.NotFoundHandler())
	url := s.URL
	s.Close()
	e := h.shared
	Add(t, e, Job(t, "refused", url+"/file", "max-tries", "2"))
	if err := MustFail(t, e, "refused"); err.Class != model.ClassRetryable {
		t.Errorf("%+v", err)
	}
}

func statuses(t *testing.T, h harness) {
	e := h.shared
	for status, want := range map[int]model.TaskError{
		400: {Code: 22, Class: model.ClassPermanent},
		401: {Code: 24, Class: model.ClassPermanent},
		403: {Code: 22, Class: model.ClassWorker},
		429: {Code: 22, Class: model.ClassRetryable},
		500: {Code: 22, Class: model.ClassRetryable},
	} {
		s := Serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }))
		id := fmt.Sprintf("status-%d", status)
		Add(t, e, Job(t, id, s.URL+"/file", "max-tries", "1"))
		got := MustFail(t, e, id)
		if got.Code != want.Code || got.Class != want.Class {
			t.Errorf("status %d: %+v, want %+v", status, got, want)
		}
	}
}
