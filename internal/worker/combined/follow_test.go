package combined

import (
	"bytes"
	"net/http"
	"testing"
	"time"

	"github.com/aria-cluster/dispatcher/internal/worker/download"
	"github.com/aria-cluster/dispatcher/internal/worker/download/downloadtest"
)

// A page that the first response announces as a torrent fails as one also if a restart interrupts
// it, and the response with its rest does not announce it.
func TestEngine_AnnouncedTorrentFailsAfterARestart(t *testing.T) {
	data := bytes.Repeat([]byte("<p>no torrent</p>"), 100_000)
	s := downloadtest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"1"`)
		if r.Header.Get("Range") != "" {
			w.Header().Set("Content-Type", "application/octet-stream")
			http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
			return
		}
		w.Header().Set("Content-Type", "application/x-bittorrent")
		w.Header().Set("Content-Length", "1700000")
		_, _ = w.Write(data[:1_000_000]) // a client that left sees it
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}))
	state := t.TempDir()
	before := open(t, state, downloadtest.Loopback(t), 0, true)
	job := downloadtest.Job(t, "announced", s.URL+"/download")
	downloadtest.Add(t, before, job)
	downloadtest.Await(t, before, "announced", downloadtest.Reached(1_000_000))
	if err := before.Close(); err != nil {
		t.Fatal(err)
	}
	after := open(t, state, downloadtest.Loopback(t), 0, true)
	t.Cleanup(func() {
		if err := after.Close(); err != nil {
			t.Error(err)
		}
	})
	downloadtest.Add(t, after, job)
	if err := downloadtest.MustFail(t, after, "announced"); err.Code != download.CodeTorrent {
		t.Errorf("%+v", err)
	}
	if sent := s.Sent.Load(); sent != int64(len(data)) {
		t.Errorf("the server sent %d bytes for %d", sent, len(data))
	}
}
