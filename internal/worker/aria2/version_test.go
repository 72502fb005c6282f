package aria2

import (
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/aria-cluster/dispatcher/internal/worker/download/downloadtest"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// Bytes are continued only in their own version.
func TestVersion_BytesContinueInTheirVersionOnly(t *testing.T) {
	kept := version{Source: "s", ETag: `"1"`, LastModified: "date", Length: 5}
	with := func(change func(*version)) *version {
		v := kept
		change(&v)
		return &v
	}
	for name, c := range map[string]struct {
		kept, now *version
		files     []string
		resumes   bool
		left      int
	}{
		"the same":                       {&kept, with(func(*version) {}), []string{"f", "f.aria2"}, true, 3},
		"the server says nothing now":    {&kept, nil, []string{"f", "f.aria2"}, true, 3},
		"another source gets no answer":  {with(func(v *version) { v.Source = "t" }), nil, []string{"f", "f.aria2"}, false, 0},
		"another ETag":                   {&kept, with(func(v *version) { v.ETag = `"2"` }), []string{"f", "f.aria2"}, false, 1},
		"no ETag any more":               {&kept, with(func(v *version) { v.ETag = "" }), []string{"f", "f.aria2"}, false, 1},
		"another date":                   {&kept, with(func(v *version) { v.LastModified = "later" }), []string{"f", "f.aria2"}, false, 1},
		"another length":                 {&kept, with(func(v *version) { v.Length = 6 }), []string{"f", "f.aria2"}, false, 1},
		"nobody can ask":                 {&version{Source: "s", Length: -1}, &version{Source: "s", Length: -1, unproven: true}, []string{"f", "f.aria2"}, false, 1},
		"no length this time":            {&kept, with(func(v *version) { v.Length = -1 }), []string{"f", "f.aria2"}, true, 3},
		"another URL, the same ETag":     {&kept, with(func(v *version) { v.Source = "t" }), []string{"f", "f.aria2"}, true, 3},
		"another URL, the same length":   {&version{Source: "s", Length: 5}, &version{Source: "t", Length: 5}, []string{"f", "f.aria2"}, false, 1},
		"bytes without a stored version": {nil, &kept, []string{"f", "f.aria2"}, false, 1},
		"nothing kept, nothing said":     {nil, nil, []string{"f", "f.aria2"}, false, 0},
		"no bytes":                       {&kept, with(func(v *version) { v.ETag = `"2"` }), nil, false, 1},
		"no bytes, nothing said":         {&kept, nil, nil, false, 0},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for _, file := range c.files {
				if err := os.WriteFile(filepath.Join(dir, file), []byte("x"), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if c.kept != nil {
				if err := c.kept.save(dir); err != nil {
					t.Fatal(err)
				}
			}
			v, resumes, err := settleVersion(dir, c.now, "s", false)
			if err != nil || resumes != c.resumes {
				t.Errorf("%+v, resumes %v, %v", v, resumes, err)
			}
			left, err := os.ReadDir(dir)
			if err != nil || len(left) != c.left {
				t.Errorf("left: %v, %v", left, err)
			}
			if on := loadVersion(dir); (v == nil) != (on == nil) || v != nil && (on.ETag != v.ETag || on.Source != v.Source) {
				t.Errorf("kept: %+v, fetched: %+v", on, v)
			}
		})
	}
}

// A file that was finished just before a crash is not fetched again.
func TestVersion_FinishedFileIsNotFetchedAgain(t *testing.T) {
	t.Parallel()
	data := downloadtest.Data(3 << 20)
	s := downloadtest.Serve(t, downloadtest.Content(data))
	e := newAria2(t, t.TempDir())
	job := downloadtest.Job(t, "whole", s.URL+"/file")
	downloadtest.Add(t, e, job)
	downloadtest.MustComplete(t, e, job, data)
	p := e.current().process
	p.kill()
	downloadtest.Remove(t, e, "whole")
	downloadtest.Add(t, e, job) // as after a crash of the worker that lost how it ended
	downloadtest.MustComplete(t, e, job, data)
	if sent := s.Sent.Load(); sent > int64(len(data)) {
		t.Errorf("the server sent %d bytes for a file of %d", sent, len(data))
	}
}

// Passwords do not follow a redirect to another host.
func TestEngine_PasswordsDoNotFollowRedirects(t *testing.T) {
	t.Parallel()
	data := downloadtest.Data(300_000)
	var mu sync.Mutex
	var told []http.Header
	other := downloadtest.Serve(t, downloadtest.Cut(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		told = append(told, r.Header.Clone())
		mu.Unlock()
		downloadtest.Content(data).ServeHTTP(w, r)
	}), 100_000, 2))
	s := downloadtest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); user != "me" || password != "secret" || r.Header.Get("X-Token") != "t" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		http.Redirect(w, r, other.URL+"/signed?key=1", http.StatusFound)
	}))
	e := newAria2(t, t.TempDir())
	job := downloadtest.Job(t, "confided", s.URL+"/file", "http-user", "me", "http-passwd", "secret", "out", "named.bin")
	job.Task.Options["header"] = model.OptionValue{"Cookie: a=b", "X-Token: t"}
	downloadtest.Add(t, e, job)
	if name := downloadtest.MustComplete(t, e, job, data); name != "named.bin" {
		t.Errorf("the file is named %s", name)
	}
	mu.Lock()
	defer mu.Unlock()
	if len(told) < 4 {
		t.Errorf("the other host had %d requests", len(told))
	}
	for _, header := range told {
		for _, name := range []string{"Authorization", "Cookie", "X-Token"} {
			if header.Get(name) != "" {
				t.Errorf("another host is told %s: %s", name, header.Get(name))
			}
		}
	}
}
