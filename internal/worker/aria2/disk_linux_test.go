package aria2

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/internal/worker/download"
	"github.com/aria-cluster/dispatcher/internal/worker/download/downloadtest"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// A full disk fails one task and no other.
func TestEngine_FullDiskFailsOneTaskOnly(t *testing.T) {
	needAria2c(t)
	downloadtest.FullDisk(t, newEngine)
}

// Two files that do not fit on the disk together do not fill it.
func TestEngine_SecondFileMustFitBesideTheFirst(t *testing.T) {
	needAria2c(t)
	downloadtest.SharedDisk(t, newEngine)
}

// A torrent or metalink whose selected files do not fit on the disk fails before aria2c has it.
// What is selected of it may fit.
func TestEngine_StatedLengthMustFitOnTheDisk(t *testing.T) {
	needAria2c(t)
	testbed.OnASmallDisk(t, 8, func(t *testing.T, disk string) {
		var requests atomic.Int64
		data := downloadtest.Data(100_000)
		content := downloadtest.Content(data)
		s := downloadtest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			requests.Add(1)
			content.ServeHTTP(w, r)
		}))
		torrent := downloadtest.Torrent("t", "http://127.0.0.1:1/", map[string][]byte{"a": downloadtest.Data(1000), "b": make([]byte, 20<<20)})
		link := fmt.Appendf(nil, `<metalink xmlns="urn:ietf:params:xml:ns:metalink"><file name="a"><size>100000</size><url>%[1]s/a</url></file>`+
			`<file name="b"><size>20000000</size><url>%[1]s/b</url></file></metalink>`, s.URL)
		e := withBT(t)
		for _, c := range []struct {
			name   string
			spec   model.TaskSpec
			option string // select-file
			fits   bool
		}{
			{"torrent", model.TaskSpec{Torrent: torrent}, "", false},
			{"torrent-b", model.TaskSpec{Torrent: torrent}, "2", false},
			{"torrent-a", model.TaskSpec{Torrent: torrent}, "1", true},
			{"metalink", model.TaskSpec{Metalink: link}, "", false},
			{"metalink-b", model.TaskSpec{Metalink: link}, "2", false},
			{"metalink-a", model.TaskSpec{Metalink: link}, "1", true},
		} {
			job := downloadtest.Job(t, c.name, "")
			job.Dir = filepath.Join(disk, c.name)
			if err := os.Mkdir(job.Dir, 0o755); err != nil {
				t.Fatal(err)
			}
			job.Task.TaskSpec = c.spec
			job.Task.ID = c.name
			if c.option != "" {
				job.Task.Options = model.Options{"select-file": {c.option}}
			}
			before := requests.Load()
			downloadtest.Add(t, e, job)
			switch {
			case !c.fits:
				err := downloadtest.MustFail(t, e, c.name)
				if err.Code != download.CodeDiskFull || err.Class != model.ClassWorker || !strings.Contains(err.Message, "bytes are needed") {
					t.Errorf("%s: %+v", c.name, err)
				}
				if requests.Load() > before {
					t.Errorf("%s: a server was asked", c.name)
				}
			case c.spec.Torrent != nil: // it has no peers
				downloadtest.Await(t, e, c.name, func(s download.State) bool { return s.Phase == download.Active && s.Total > 0 })
			default:
				downloadtest.MustComplete(t, e, job, data)
			}
			downloadtest.Remove(t, e, c.name)
		}
	})
}
