package combined

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/aria-cluster/dispatcher/internal/netguard"
	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/internal/worker/aria2"
	"github.com/aria-cluster/dispatcher/internal/worker/direct"
	"github.com/aria-cluster/dispatcher/internal/worker/download"
	"github.com/aria-cluster/dispatcher/internal/worker/download/downloadtest"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// open makes a combined engine; its caller closes it.
func open(t *testing.T, stateDir string, g *netguard.Guard, bandwidth int64, allowBT bool) *Engine {
	t.Helper()
	path, _, err := aria2.Find(t.Context())
	if err != nil {
		testbed.Missing(t, "aria2c", err)
	}
	log := downloadtest.Logger(t)
	a, err := aria2.New(aria2.Config{Binary: path, StateDir: stateDir, Slots: 4, Logger: log, Guard: g, Bandwidth: bandwidth, AllowBT: allowBT})
	if err != nil {
		t.Fatal(err)
	}
	d, err := direct.New(direct.Config{Slots: 4, Logger: log, Guard: g, Bandwidth: bandwidth})
	if err != nil {
		t.Fatal(err)
	}
	return New(d, a, bandwidth, log)
}

// newEngine makes one that ends with the test.
func newEngine(t *testing.T, g *netguard.Guard, bandwidth int64, allowBT bool) *Engine {
	t.Helper()
	e := open(t, t.TempDir(), g, bandwidth, allowBT)
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

// The combined engine passes the suite of every engine.
func TestEngine_Conforms(t *testing.T) {
	downloadtest.Run(t, func(t *testing.T, stateDir string) download.Engine {
		t.Helper()
		return open(t, stateDir, downloadtest.Loopback(t), 0, false)
	})
}

// It connects to nothing that the guard refuses, whichever engine has the job.
func TestEngine_GuardIsKept(t *testing.T) {
	downloadtest.RunGuarded(t, func(t *testing.T, g *netguard.Guard) download.Engine {
		t.Helper()
		return newEngine(t, g, 0, false)
	})
}

// All downloads of both engines together keep to the bandwidth.
func TestEngine_BandwidthIsKept(t *testing.T) {
	e := newEngine(t, downloadtest.Loopback(t), downloadtest.Bandwidth, false)
	data := downloadtest.Data(50_000)
	ftp := downloadtest.ServeFTP(t, data, "", "")
	job := downloadtest.Job(t, "ftp", ftp.URL+"/file")
	downloadtest.Add(t, e, job)
	downloadtest.MustComplete(t, e, job, data)
	downloadtest.Remove(t, e, "ftp")
	downloadtest.RunBandwidth(t, e)
}

// What is not HTTP is for aria2; HTTP begins in the direct engine, unless there are bytes of
// aria2.
func TestPrefersDirect_ByTask(t *testing.T) {
	for name, c := range map[string]struct {
		spec model.TaskSpec
		file string
		want bool
	}{
		"http":                     {model.TaskSpec{URL: "http://h/a"}, "", true},
		"https in capitals":        {model.TaskSpec{URL: "HTTPS://h/a", Mirrors: []string{"http://h/b"}}, "", true},
		"ftp":                      {model.TaskSpec{URL: "ftp://h/a"}, "", false},
		"an ftp mirror":            {model.TaskSpec{URL: "http://h/a", Mirrors: []string{"ftp://h/a"}}, "", false},
		"a magnet":                 {model.TaskSpec{URL: "magnet:?xt=urn:btih:0"}, "", false},
		"a torrent":                {model.TaskSpec{Torrent: []byte("d")}, "", false},
		"several mirrors at once":  {model.TaskSpec{URL: "http://h/a", Mirrors: []string{"http://h/b"}, Options: model.Options{"split": {"4"}}}, "", true},
		"bytes of aria2":           {model.TaskSpec{URL: "http://h/a"}, "a.aria2", false},
		"bytes of the direct one":  {model.TaskSpec{URL: "http://h/a", Mirrors: []string{"http://h/b"}, Options: model.Options{"split": {"4"}}}, "a.part.json", true},
		"a split without a mirror": {model.TaskSpec{URL: "http://h/a", Options: model.Options{"split": {"4"}}}, "", true},
	} {
		dir := t.TempDir()
		if c.file != "" {
			if err := os.WriteFile(filepath.Join(dir, c.file), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if got := prefersDirect(&download.Job{Task: &model.Task{TaskSpec: c.spec}, Dir: dir}); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// A file that aria2 cannot fetch is fetched by the direct engine in the same attempt,
// and a redirect to FTP by aria2.
func TestEngine_OtherEngineHelps(t *testing.T) {
	e := newEngine(t, downloadtest.Loopback(t), 0, false)
	data := downloadtest.Data(100_000)
	odd := downloadtest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusNonAuthoritativeInfo)
		if r.Method != http.MethodHead {
			_, _ = w.Write(data) // a client that left sees it
		}
	}))
	job := downloadtest.Job(t, "odd", odd.URL+"/file")
	beginWithAria2(t, job)
	downloadtest.Add(t, e, job)
	downloadtest.MustComplete(t, e, job, data)
	if s := downloadtest.Await(t, e, "odd", downloadtest.Ended); s.GID != "" || s.Before == nil || s.Before.Message == "" {
		t.Errorf("the direct engine has it, after aria2: %+v", s)
	}

	ftp := downloadtest.ServeFTP(t, data, "", "")
	to := downloadtest.Serve(t, http.RedirectHandler(ftp.URL+"/file", http.StatusFound))
	for id, header := range map[string]string{"to-ftp": "", "to-ftp-with-a-header": "X-Token: t"} {
		job = downloadtest.Job(t, id, to.URL+"/file")
		if header != "" {
			job.Task.Options["header"] = model.OptionValue{header}
		}
		downloadtest.Add(t, e, job)
		downloadtest.MustComplete(t, e, job, data)
		if s := downloadtest.Await(t, e, id, downloadtest.Ended); s.GID == "" || s.Before == nil {
			t.Errorf("aria2 has it, after the direct engine: %+v", s)
		}
	}
}

// A redirect to an FTP path with an encoded control character fails at once, without a request of
// aria2.
func TestEngine_RedirectToUnsafeFTPFails(t *testing.T) {
	e := newEngine(t, downloadtest.Loopback(t), 0, false)
	ftp := downloadtest.ServeFTP(t, nil, "", "")
	to := downloadtest.Serve(t, http.RedirectHandler(ftp.URL+"/a%09b", http.StatusFound))
	downloadtest.Add(t, e, downloadtest.Job(t, "unsafe", to.URL+"/file"))
	if err := downloadtest.MustFail(t, e, "unsafe"); err.Code != download.CodeRedirects || err.Class != model.ClassPermanent || strings.Contains(err.Message, "before") {
		t.Errorf("%+v", err)
	}
}

// A file whose URL has an encoded control character gets a name without it, from either engine.
func TestEngine_ControlCharactersInAURL(t *testing.T) {
	e := newEngine(t, downloadtest.Loopback(t), 0, false)
	data := downloadtest.Data(1000)
	s := downloadtest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.EscapedPath() != "/d%1fx/a%0a%09b.bin" {
			http.NotFound(w, r)
			return
		}
		downloadtest.Content(data).ServeHTTP(w, r)
	}))
	for _, id := range []string{"direct", "aria2"} {
		job := downloadtest.Job(t, id, s.URL+"/d%1fx/a%0a%09b.bin")
		if id == "aria2" {
			beginWithAria2(t, job)
		}
		downloadtest.Add(t, e, job)
		if name := downloadtest.MustComplete(t, e, job, data); filepath.Base(name) != "a__b.bin" {
			t.Errorf("%s: %q", id, name)
		}
	}
}

// A failure with both engines says so, and says once what both of them say.
func TestEngine_FailureNamesBoth(t *testing.T) {
	e := newEngine(t, downloadtest.Loopback(t), 0, false)
	s := downloadtest.Serve(t, http.NotFoundHandler())
	job := downloadtest.Job(t, "gone", s.URL+"/file")
	beginWithAria2(t, job)
	downloadtest.Add(t, e, job)
	err := downloadtest.MustFail(t, e, "gone")
	if err.Code != download.CodeNotFound || err.HTTPStatus != http.StatusNotFound || err.Host != "127.0.0.1" ||
		strings.Count(err.Message, "404 Not Found") != 1 || !strings.HasSuffix(err.Message, " (with both engines)") {
		t.Errorf("%+v", err)
	}
}

// A torrent by URL leads to its files where aria2 may take it, whatever its name is
// and although it is large, and is a file where not.
func TestEngine_TorrentByURLIsFollowed(t *testing.T) {
	files := map[string][]byte{"one": downloadtest.Data(1000)}
	torrent := downloadtest.Torrent("folder", "http://127.0.0.1:1/announce", files)
	comment := fmt.Sprintf("7:comment%d:%s4:info", 15<<20, strings.Repeat("x", 15<<20))
	torrent = bytes.Replace(torrent, []byte("4:info"), []byte(comment), 1)
	s := downloadtest.Serve(t, downloadtest.Content(torrent))
	job := downloadtest.Job(t, "file", s.URL+"/download")
	plain := newEngine(t, downloadtest.Loopback(t), 0, false)
	downloadtest.Add(t, plain, job)
	downloadtest.MustComplete(t, plain, job, torrent)

	follows := newEngine(t, downloadtest.Loopback(t), 0, true)
	job = downloadtest.Job(t, "followed", s.URL+"/download")
	downloadtest.Add(t, follows, job)
	downloadtest.Await(t, follows, "followed", func(s download.State) bool {
		return s.GID != "" && s.Total == int64(len(files["one"]))
	})
}

// A torrent by URL that aria2c cannot fetch fails at once with the reason.
func TestEngine_HybridTorrentByURLFails(t *testing.T) {
	e := newEngine(t, downloadtest.Loopback(t), 0, true)
	s := downloadtest.Serve(t, downloadtest.Content(downloadtest.HybridTorrent("f", "http://127.0.0.1:1/announce", 1000, true)))
	downloadtest.Add(t, e, downloadtest.Job(t, "hybrid", s.URL+"/download"))
	if err := downloadtest.MustFail(t, e, "hybrid"); err.Code != download.CodeTorrent || err.Class != model.ClassPermanent {
		t.Errorf("%+v", err)
	}
}

// The checksum of a task by URL is that of the file which the metalink there leads to,
// or that of the metalink.
func TestEngine_ChecksumOfFollowedMetalink(t *testing.T) {
	e := newEngine(t, downloadtest.Loopback(t), 0, true)
	data := downloadtest.Data(100_000)
	list := []byte(`<metalink xmlns="urn:ietf:params:xml:ns:metalink"><file name="f"><url>/f</url></file></metalink>`)
	mux := http.NewServeMux()
	mux.Handle("/f", downloadtest.Content(data))
	mux.Handle("/list", downloadtest.Content(list))
	s := downloadtest.Serve(t, mux)
	sum := func(data []byte) string { return fmt.Sprintf("sha-256=%x", sha256.Sum256(data)) }
	for id, checksum := range map[string]string{"of-the-file": sum(data), "of-the-metalink": sum(list), "of-neither": sum(nil)} {
		job := downloadtest.Job(t, id, s.URL+"/list")
		job.Task.Checksum = checksum
		downloadtest.Add(t, e, job)
		if id != "of-neither" {
			downloadtest.MustComplete(t, e, job, data)
		} else if err := downloadtest.MustFail(t, e, id); err.Code != download.CodeChecksum || err.Class != model.ClassPermanent {
			t.Errorf("%+v", err)
		}
	}
}

// A metalink by URL that fails is fetched once, and the error names the file and its host.
func TestEngine_FollowedMetalinkFailsOnce(t *testing.T) {
	e := newEngine(t, downloadtest.Loopback(t), 0, true)
	data := downloadtest.Data(100_000)
	var asked atomic.Int32
	mux := http.NewServeMux()
	mux.Handle("/f", downloadtest.Content(data))
	list := []byte(`<metalink xmlns="urn:ietf:params:xml:ns:metalink"><file name="a"><url>/f</url></file><file name="d/e.bin"><url>/none</url></file></metalink>`)
	mux.HandleFunc("/list", func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		downloadtest.Content(list).ServeHTTP(w, r)
	})
	s := downloadtest.Serve(t, mux)
	for id, begin := range map[string]func(*testing.T, download.Job){"direct": func(*testing.T, download.Job) {}, "aria2": beginWithAria2} {
		job := downloadtest.Job(t, id, s.URL+"/list")
		begin(t, job)
		before := asked.Load()
		downloadtest.Add(t, e, job)
		err := downloadtest.MustFail(t, e, id)
		if err.Code != download.CodeNotFound || err.Class != model.ClassPermanent || err.Host != "127.0.0.1" || err.HTTPStatus != http.StatusNotFound ||
			err.Message != `"d/e.bin" of the metalink, from 127.0.0.1: 404 Not Found` {
			t.Errorf("%s: %+v", id, err)
		}
		if n := asked.Load() - before; id == "direct" && n != 1 {
			t.Errorf("%s: the metalink was requested %d times", id, n)
		}
	}
}
