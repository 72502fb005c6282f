package aria2

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aria-cluster/dispatcher/internal/worker/download"
	"github.com/aria-cluster/dispatcher/internal/worker/download/downloadtest"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// torrents serves a file and what metalinks call its torrents.
func torrents(t *testing.T, data []byte) *downloadtest.Server {
	t.Helper()
	dir, port := t.TempDir(), freeTCPPort(t)
	tracker := downloadtest.ServeTracker(t, port)
	torrent := downloadtest.SingleTorrent("other.bin", tracker, data)
	if err := os.WriteFile(filepath.Join(dir, "other.bin"), data, 0o600); err != nil {
		t.Fatal(err)
	}
	share(t, dir, torrent, port)
	mux := http.NewServeMux()
	for path, body := range map[string][]byte{
		"/f.bin": data, "/good": torrent, "/page": []byte("<html>no torrent</html>"),
		"/hybrid":  downloadtest.HybridTorrent("f.bin", tracker, len(data), true),
		"/second":  downloadtest.HybridTorrent("f.bin", tracker, len(data), false),
		"/another": downloadtest.SingleTorrent("other.bin", tracker, data[1:]),
		"/several": downloadtest.Torrent("folder", tracker, map[string][]byte{"a": data, "b": data}),
	} {
		mux.Handle(path, downloadtest.Content(body))
	}
	return downloadtest.Serve(t, mux)
}

// A metalink with a torrent completes from either; a torrent that cannot help does not
// spoil the other sources, and alone ends the task with the reason.
func TestMetalink_TorrentsOfFiles(t *testing.T) {
	t.Parallel()
	e := withBT(t)
	data := downloadtest.Data(300_000)
	s := torrents(t, data)
	from := func(path string) string { return `<metaurl mediatype="torrent">` + s.URL + path + `</metaurl>` }
	good, dead := "<size>300000</size><url>"+s.URL+"/f.bin</url>", "<size>300000</size><url>"+s.URL+"/none</url>"
	for _, c := range []struct {
		id, inner string
		code      int // 0: it completes
		reason    string
	}{
		{"both", from("/good") + good, 0, ""},
		{"torrent-only", "<size>300000</size>" + from("/good"), 0, ""},
		{"dead-source", from("/good") + dead, 0, ""},
		{"second-torrent", "<size>300000</size>" + from("/none") + from("/good"), 0, ""},
		{"missing", from("/none") + good, 0, ""},
		{"page", from("/page") + good, 0, ""},
		{"hybrid", from("/hybrid") + good, 0, ""},
		{"another", from("/another") + good, 0, ""},
		{"several", from("/several") + good, 0, ""},
		{"missing-only", from("/none"), download.CodeNotFound, `404 Not Found from 127.0.0.1; it was to be the torrent of "f.bin"`},
		{"page-only", from("/page"), download.CodeMetalink, `the torrent of "f.bin" at 127.0.0.1 cannot be read`},
		{"hybrid-only", from("/hybrid"), download.CodeTorrent, `the torrent of "f.bin" is a hybrid one`},
		{"second-only", from("/second"), download.CodeTorrent, `the torrent of "f.bin" is for BitTorrent v2 only`},
		{"another-only", "<size>300000</size>" + from("/another"), download.CodeMetalink, "has 300000 bytes, its torrent says 299999"},
		{"several-only", from("/several"), download.CodeMetalink, "has 2 files, and the metalink does not say which"},
	} {
		t.Run(c.id, func(t *testing.T) { // one after the other: aria2 has each torrent once at a time
			job := downloadtest.Job(t, c.id, "")
			job.Task.TaskSpec = model.TaskSpec{ID: c.id, Metalink: links("f.bin", c.inner)}
			downloadtest.Add(t, e, job)
			defer downloadtest.Remove(t, e, c.id)
			if c.code == 0 {
				downloadtest.MustComplete(t, e, job, data)
				return
			}
			err := downloadtest.MustFail(t, e, c.id)
			if err.Code != c.code || err.Class != model.ClassPermanent || !strings.Contains(err.Message, c.reason) {
				t.Errorf("%+v, want %d, %q", err, c.code, c.reason)
			}
		})
	}
}

// A torrent that a metalink names beside a file is no part of the download.
func TestLook_TorrentOfMetalinkIsNoLeaf(t *testing.T) {
	file := &row{GID: "f", Status: "active", Total: 100, Completed: 40}
	for _, status := range []string{"active", "complete", "error", "removed"} {
		v := familyStateOf([]string{"t", "f"}, map[string]*row{"f": file, "t": {GID: "t", Status: status, BelongsTo: "f", Total: 7, Completed: 7}})
		if v.lost || v.failed != nil || v.done || v.total != 100 || v.completed != 40 || len(v.leaves) != 1 {
			t.Errorf("%s: %+v", status, v)
		}
	}
}
