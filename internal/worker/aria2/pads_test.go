package aria2

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
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
		{"only a pad", "2", "", 0}, // refused
		{"by URL", "", "folder/a folder/b/c folder/d folder/e", 235_546},
	} {
		job := downloadtest.Job(t, c.id, "")
		job.Task.TaskSpec = model.TaskSpec{ID: c.id, Torrent: torrent, Options: model.Options{"select-file": {c.selected}}}
		if c.selected == "" {
			job.Task.Options = nil
		}
		if c.id == "by URL" {
			job.Task.TaskSpec = model.TaskSpec{ID: c.id, URL: s.URL + "/x.torrent", Options: model.Options{"header": {"X-Token: t"}}}
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
		if c.want == "" {
			if state.Err == nil || state.Err.Code != download.CodeOption || !strings.Contains(state.Err.Message, "names only files that pad") {
				t.Errorf("%s: %+v, error %+v", c.id, state, state.Err)
			}
		} else if state.Phase != download.Complete || strings.Join(got, " ") != c.want || state.Total != c.bytes {
			t.Errorf("%s: %+v, error %+v, want %s", c.id, state, state.Err, c.want)
		}
		downloadtest.Remove(t, e, c.id)
	}
}

// padded serves a folder, and returns a torrent of it whose files are padded.
func padded(t *testing.T, files map[string][]byte, throttle *downloadtest.Throttle) []byte {
	t.Helper()
	s := downloadtest.Serve(t, throttle.Slow(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		data, ok := files[strings.TrimPrefix(r.URL.Path, "/folder/")]
		if !ok {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		downloadtest.Content(data).ServeHTTP(w, r)
	})))
	return downloadtest.PaddedTorrent("folder", s.URL+"/", files)
}

// Each next aria2c continues a padded torrent: nothing is fetched before it has checked what is there.
func TestTorrent_PaddedOneIsContinued(t *testing.T) {
	t.Parallel()
	files := map[string][]byte{"f": downloadtest.Data(40_000_003)}
	for i := range 10 {
		files[strconv.Itoa(i)] = downloadtest.Data(1_000_000 + i)
	}
	var throttle downloadtest.Throttle
	throttle.Set(3_000_000)
	state := t.TempDir()
	job := downloadtest.Job(t, "continued", "")
	job.Task.TaskSpec = model.TaskSpec{ID: "continued", Torrent: padded(t, files, &throttle)}
	for _, reached := range []int64{3_000_000, 6_000_000, 9_000_000, 0} {
		e := makeEngine(t, Config{AllowBT: true, StateDir: state})
		downloadtest.Add(t, e, job)
		if reached > 0 {
			downloadtest.Await(t, e, "continued", downloadtest.Reached(reached))
		} else {
			throttle.Set(0)
			if state := downloadtest.Await(t, e, "continued", downloadtest.Ended); state.Phase != download.Complete {
				t.Errorf("%+v, error %+v", state, state.Err)
			}
		}
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for path, want := range files {
		if data, err := os.ReadFile(filepath.Join(job.Dir, "folder", path)); err != nil || !bytes.Equal(data, want) {
			t.Errorf("%s has %d bytes, want %d, %v", path, len(data), len(want), err)
		}
	}
}

// Each of many pads has a source, also if they need several calls.
func TestTorrent_ManyPadsHaveSources(t *testing.T) {
	t.Parallel()
	files := map[string][]byte{}
	for i := range 3000 {
		files[fmt.Sprintf("%04d", i)] = downloadtest.Data(100)
	}
	job := downloadtest.Job(t, "many", "")
	job.Task.TaskSpec = model.TaskSpec{ID: "many", Torrent: padded(t, files, &downloadtest.Throttle{}), Options: model.Options{"select-file": {"5900-5999"}}}
	e := withBT(t)
	downloadtest.Add(t, e, job)
	if state := downloadtest.Await(t, e, "many", downloadtest.Ended); state.Phase != download.Complete || len(state.Files) != 50 {
		t.Errorf("%+v, error %+v", state, state.Err)
	}
}

// A padded torrent completes although aria2c answers a call of its begin too late.
func TestTorrent_PadsComeAfterLateAnswer(t *testing.T) {
	t.Parallel()
	files := map[string][]byte{"a": downloadtest.Data(100_000), "b": downloadtest.Data(70_001), "c": downloadtest.Data(9)}
	torrent := padded(t, files, &downloadtest.Throttle{})
	for _, method := range []string{"aria2.addTorrent", "aria2.changeUri", "aria2.unpause"} {
		t.Run(method, func(t *testing.T) {
			t.Parallel()
			port := freeTCPPort(t)
			startForeign(t, port, "s3cret")
			relay, late := relayLate(t, port, method)
			job := downloadtest.Job(t, "late", "")
			job.Task.TaskSpec = model.TaskSpec{ID: "late", Torrent: torrent}
			e := startEngine(t, Config{AllowBT: true, Attach: &Attach{URL: relay, Secret: "s3cret", Folders: []string{filepath.Dir(job.Dir)}}})
			downloadtest.Add(t, e, job)
			if state := downloadtest.Await(t, e, "late", downloadtest.Ended); state.Phase != download.Complete || len(state.Files) != len(files) || late.Load() == 0 {
				t.Errorf("%+v, error %+v, %d late calls", state, state.Err, late.Load())
			}
		})
	}
}
