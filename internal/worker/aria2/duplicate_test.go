package aria2

import (
	"net/http"
	"testing"

	"github.com/aria-cluster/dispatcher/internal/worker/download"
	"github.com/aria-cluster/dispatcher/internal/worker/download/downloadtest"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// TestTorrent_SecondOfSameHashHasItsCode checks that aria2c refuses a torrent that it
// already downloads with the code that a worker reports as a rejection, in any form of
// the second one, and that the first continues.
func TestTorrent_SecondOfSameHashHasItsCode(t *testing.T) {
	t.Parallel()
	torrent := downloadtest.Torrent("shared", "http://127.0.0.1:1/", map[string][]byte{"f": []byte("nobody has it")})
	web := downloadtest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/x-bittorrent")
		_, _ = w.Write(torrent) // a client that is gone is no matter
	}))
	e := startEngine(t, Config{AllowBT: true})
	add := func(id string, spec model.TaskSpec) {
		job := downloadtest.Job(t, id, "")
		spec.ID = id
		job.Task.TaskSpec = spec
		downloadtest.Add(t, e, job)
	}
	add("first", model.TaskSpec{Torrent: torrent})
	// aria2 knows the hash only once the torrent is read; the GID is known before.
	downloadtest.Await(t, e, "first", func(s download.State) bool { return s.Total > 0 })
	for id, spec := range map[string]model.TaskSpec{
		"inline": {Torrent: torrent}, "by-url": {URL: web.URL + "/shared.torrent"},
		"magnet": {URL: "magnet:?xt=urn:btih:" + downloadtest.InfoHash(torrent)},
	} {
		add(id, spec)
		if err := downloadtest.MustFail(t, e, id); err.Code != download.CodeDuplicateTorrent {
			t.Errorf("%s: %+v", id, err)
		}
		downloadtest.Remove(t, e, id)
	}
	if s := downloadtest.Await(t, e, "first", func(download.State) bool { return true }); s.Phase != download.Active {
		t.Errorf("the first is %+v, error %+v", s, s.Err)
	}
}
