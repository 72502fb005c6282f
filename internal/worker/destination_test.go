package worker

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/internal/worker/aria2"
	"github.com/aria-cluster/dispatcher/internal/worker/combined"
	"github.com/aria-cluster/dispatcher/internal/worker/direct"
	"github.com/aria-cluster/dispatcher/internal/worker/download"
	"github.com/aria-cluster/dispatcher/internal/worker/download/downloadtest"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// A task whose files could not get their name, or whose folder cannot be made, fails before the
// engine has it.
func TestDestination_IsCheckedBeforeTheDownload(t *testing.T) {
	write := func(name string) func(dir string) error {
		return func(dir string) error { return os.WriteFile(filepath.Join(dir, name), []byte("mine"), 0o644) }
	}
	folder := func(name string) func(dir string) error {
		return func(dir string) error { return os.Mkdir(filepath.Join(dir, name), 0o755) }
	}
	duplicate := duplicateRejection(download.CodeDuplicateFile, "the task b").Error
	single := model.TaskSpec{Torrent: []byte("d4:infod6:lengthi4e4:name1:f12:piece lengthi16384e6:pieces20:aaaaaaaaaaaaaaaaaaaaee")}
	folderTorrent := model.TaskSpec{Torrent: downloadtest.Torrent("shared", "http://tracker.example/", map[string][]byte{"f": []byte("data")})}
	magnet := model.TaskSpec{URL: "magnet:?xt=urn:btih:" + downloadtest.InfoHash(folderTorrent.Torrent)}
	link := func(names ...string) model.TaskSpec {
		text := `<metalink xmlns="urn:ietf:params:xml:ns:metalink">`
		for _, name := range names {
			text += `<file name="` + name + `"><url>http://example.com/` + name + `</url></file>`
		}
		return model.TaskSpec{Metalink: []byte(text + `</metalink>`)}
	}
	for _, c := range []struct {
		name   string
		spec   model.TaskSpec // without a source: http://example.com/f
		out    string
		before *model.TaskError
		spoil  func(dir string) error
		code   int // 0: the engine gets the task
		class  model.Class
	}{
		{name: "out is free", out: "f", spoil: write("g")},
		{name: "out is a file", out: "f", spoil: write("f"), code: 13, class: model.ClassPermanent},
		{name: "out is a folder", out: "f", spoil: folder("f"), code: 13, class: model.ClassPermanent},
		{name: "out is a dead link", out: "f", spoil: func(dir string) error { return os.Symlink("nowhere", filepath.Join(dir, "f")) }, code: 13, class: model.ClassPermanent},
		{name: "a file with the name of the url, without out", spoil: write("f")},
		{name: "the folder of the task exists, without out", spoil: folder("a"), code: 13, class: model.ClassPermanent},
		{name: "the folder of the task is a file, without out", spoil: write("a"), code: 13, class: model.ClassPermanent},
		{name: "out is a file, and the url may lead to several files", spec: model.TaskSpec{URL: "http://example.com/f.torrent"}, out: "f", spoil: write("f")},
		{name: "out is a file, and the task waited for the one that has it", out: "f", before: duplicate, spoil: write("f")},
		{name: "out is a file, and so is the torrent", spec: single, out: "f", spoil: write("f"), code: 13, class: model.ClassPermanent},
		{name: "out is a file, and the torrent is a folder", spec: folderTorrent, out: "f", spoil: write("f")},
		{name: "out is a file, and the magnet link may be a folder", spec: magnet, out: "f", spoil: write("f")},
		{name: "out is a file, and the metalink has one file", spec: link("x"), out: "f", spoil: write("f"), code: 13, class: model.ClassPermanent},
		{name: "out is a file, and the metalink has two files", spec: link("x", "y"), out: "f", spoil: write("f")},
		{name: "the folder of the task exists, of a metalink with two files", spec: link("x", "y"), spoil: folder("a"), code: 13, class: model.ClassPermanent},
		{name: "the partial folder is a file", spoil: write(partDir("a")), code: 18, class: model.ClassWorker},
		{name: "the partial folder is a link", spoil: func(dir string) error { return os.Symlink("..", filepath.Join(dir, partDir("a"))) }, code: 18, class: model.ClassWorker},
		{name: "the folder of partial files is gone", spoil: func(dir string) error { return os.Remove(filepath.Join(dir, partsDir)) }, code: 18, class: model.ClassWorker},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				n := start(t, t.TempDir(), func(c *Config, n *node) {
					c.NewEngine = func(string) (download.Engine, error) { return bittorrent{n.engine}, nil }
				})
				must(t, c.spoil(n.dir))
				given := assignment("a", 1)
				if given.Task.TaskSpec = c.spec; c.spec.Scheme() == "" {
					given.Task.URL = "http://example.com/f"
				}
				given.Task.ID = "a"
				if c.out != "" {
					given.Task.Options = model.Options{"out": {c.out}}
				}
				given.Task.Error = c.before
				n.give(given)
				n.pass(2 * time.Second)
				if c.code == 0 {
					same(t, "the engine has", n.engine.has(), []string{"a"})
					return
				}
				same(t, "the engine got", n.engine.log(), "")
				r := n.link.lastReport("a")
				if r.Error == nil {
					t.Fatalf("it is %s", r.Status)
				}
				same(t, "code and class", []any{r.Error.Code, r.Error.Class}, []any{c.code, c.class})
			})
		})
	}
}

// A name that the file system cannot have fails on every worker, so the failure is permanent.
func TestDestination_TooLongNameIsPermanent(t *testing.T) {
	a, _ := newDownloadDir(t, nil)
	var no *refusal
	if err := a.checkName(strings.Repeat("x", 4000)); !errors.As(err, &no) {
		t.Fatalf("it may be used: %v", err)
	}
	same(t, "code and class", []any{no.code, no.class}, []any{download.CodeCreate, model.ClassPermanent})
}

// Of two tasks for one name from different URLs the second fails as soon as the first has the
// name, and not at the end of its download.
func TestDestination_NameThatIsTakenMeanwhileFailsAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := start(t, t.TempDir(), nil)
		give := func(id string, options model.Options) {
			given := assignment(id, 1)
			given.Task.Options = options
			n.give(given)
		}
		give("a", model.Options{"out": {"f"}})
		give("b", model.Options{"out": {"f"}})
		give("c", model.Options{"out": {"g"}})
		n.pass(time.Second)
		same(t, "the engine has", n.engine.has(), []string{"a", "b", "c"})
		n.engine.finish("a", map[string]string{"x": "bytes of a"})
		n.pass(3 * time.Second)
		same(t, "a is", n.link.lastReport("a").Status, model.ReportCompleted)
		if r := n.link.lastReport("b"); r.Error == nil || r.Error.Code != 13 {
			t.Errorf("b is %s, %+v", r.Status, r.Error)
		}
		same(t, "the engine has", n.engine.has(), []string{"c"})
		same(t, "the file", read(t, filepath.Join(n.dir, "f")), "bytes of a")
	})
}

// realWorker runs a worker with both engines on dir until the test ends.
func realWorker(t *testing.T, dir string) *link {
	t.Helper()
	path, _, err := aria2.Find(t.Context())
	if err != nil {
		testbed.Missing(t, "aria2c", err)
	}
	guard := downloadtest.Loopback(t)
	l := &link{}
	w, err := New(Config{Name: "w1", Dir: dir, Slots: 3, Link: l, NewEngine: func(stateDir string) (download.Engine, error) {
		a, err := aria2.New(aria2.Config{Binary: path, StateDir: stateDir, Slots: 3, Logger: downloadtest.Logger(t), Guard: guard})
		if err != nil {
			return nil, err
		}
		d, err := direct.New(direct.Config{Slots: 3, Logger: downloadtest.Logger(t), Guard: guard})
		return combined.New(d, a, 0, downloadtest.Logger(t)), err
	}})
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	testbed.Eventually(t, "the worker is admitted", func() bool { return len(l.sent()) > 0 })
	return l
}

// With the real engines no request of such a task reaches a server.
func TestDestination_TakenNameCostsNoRequest(t *testing.T) {
	t.Parallel()
	data := downloadtest.Data(3000)
	var requests atomic.Int64
	content := downloadtest.Content(data)
	web := downloadtest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		content.ServeHTTP(w, r)
	}))
	ftp := downloadtest.ServeFTP(t, data, "", "")
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "taken"), []byte("mine"), 0o644))
	l := realWorker(t, dir)
	for id, url := range map[string]string{"http": web.URL + "/file", "ftp": ftp.URL + "/file"} {
		for _, out := range []string{"taken", "free-" + id} {
			given := assignment(id+"-"+out, 1)
			given.Task.URL, given.Task.Options = url, model.Options{"out": {out}}
			l.assign([]model.Assignment{given})
			var last model.Report
			testbed.Within(t, time.Minute, given.Task.ID+" ends", func() bool {
				last = l.lastReport(given.Task.ID)
				return last.Status == model.ReportFailed || last.Status == model.ReportCompleted
			})
			switch {
			case out != "taken":
				same(t, given.Task.ID, last.Status, model.ReportCompleted)
				same(t, out, read(t, filepath.Join(dir, out)), string(data))
			case last.Error == nil || last.Error.Code != 13 || last.Error.Class != model.ClassPermanent:
				t.Errorf("%s is %s, %+v", given.Task.ID, last.Status, last.Error)
			case requests.Load() > 0 && id == "http", ftp.Sent.Load() > 0 && id == "ftp":
				t.Errorf("%s was requested", given.Task.ID)
			}
		}
	}
	same(t, "taken", read(t, filepath.Join(dir, "taken")), "mine")
}
