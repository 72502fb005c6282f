package aria2

import (
	"bytes"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aria-cluster/dispatcher/internal/worker/download"
	"github.com/aria-cluster/dispatcher/internal/worker/download/downloadtest"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// A torrent whose files lie on a server, and are padded, completes without a peer. The server
// does not have what only pads, and neither does the result.
func TestTorrent_PadsNeedNoServer(t *testing.T) {
	t.Parallel()
	files := map[string][]byte{"a": downloadtest.Data(100_000), "b/c": downloadtest.Data(70_001), "d": downloadtest.Data(65_536), "e": downloadtest.Data(9)}
	mux := http.NewServeMux()
	for path, data := range files {
		mux.Handle("/folder/"+path, downloadtest.Content(data))
	}
	s := downloadtest.Serve(t, mux)
	torrent := downloadtest.PaddedTorrent("folder", s.URL+"/", files)
	mux.Handle("/x.torrent", downloadtest.Content(torrent))
	e := withBT(t)
	for _, c := range []struct {
		id, selected, want string
		bytes              int64
	}{
		{"all", "", "folder/a folder/b/c folder/d folder/e", 235_546},
		{"one", "1", "folder/a", 100_000},
		{"one and what pads it", "1-2", "folder/a", 100_000},
		{"last", "5-6", "folder/d folder/e", 65_545},
		{"by URL", "", "folder/a folder/b/c folder/d folder/e", 235_546},
	} {
		job := downloadtest.Job(t, c.id, "")
		job.Task.TaskSpec = model.TaskSpec{ID: c.id, Torrent: torrent, Options: model.Options{"select-file": {c.selected}}}
		if c.selected == "" {
			job.Task.Options = nil
		}
		if c.id == "by URL" {
			job.Task.TaskSpec = model.TaskSpec{ID: c.id, URL: s.URL + "/x.torrent"}
		}
		downloadtest.Add(t, e, job)
		state := downloadtest.Await(t, e, c.id, downloadtest.Ended)
		var got []string
		for _, f := range state.Files {
			got = append(got, f.Path)
			data, err := os.ReadFile(filepath.Join(job.Dir, filepath.FromSlash(f.Path)))
			if want := files[strings.TrimPrefix(f.Path, "folder/")]; err != nil || !bytes.Equal(data, want) {
				t.Errorf("%s: %s has %d bytes, want %d, %v", c.id, f.Path, len(data), len(want), err)
			}
		}
		if state.Phase != download.Complete || strings.Join(got, " ") != c.want || state.Total != c.bytes {
			t.Errorf("%s: %+v, error %+v, want %s", c.id, state, state.Err, c.want)
		}
		downloadtest.Remove(t, e, c.id)
	}
}
