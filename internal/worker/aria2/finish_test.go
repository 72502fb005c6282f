package aria2

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/coder/websocket"

	"github.com/aria-cluster/dispatcher/internal/worker/download"
	"github.com/aria-cluster/dispatcher/internal/worker/download/downloadtest"
)

// relayLate serves as the RPC of the aria2c at port. Its answers from the first call of a
// method on come after turnTimeout; aria2c itself has the call at once. late counts those calls.
func relayLate(t *testing.T, port int, method string) (url string, late *atomic.Int64) {
	t.Helper()
	late = &atomic.Int64{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		near, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		defer near.CloseNow()
		far, answer, err := websocket.Dial(r.Context(), "ws://127.0.0.1:"+strconv.Itoa(port)+"/jsonrpc", nil)
		if err != nil {
			return
		}
		if answer.Body != nil {
			defer answer.Body.Close()
		}
		defer far.CloseNow()
		near.SetReadLimit(maxAnswer)
		far.SetReadLimit(maxAnswer)
		var hold atomic.Bool
		ctx, stop := context.WithCancel(r.Context())
		go func() {
			defer stop()
			pump(ctx, far, near, func(data []byte) {
				if bytes.Contains(data, []byte(method)) && late.Add(1) == 1 {
					hold.Store(true)
				}
			})
		}()
		pump(ctx, near, far, func([]byte) {
			if hold.Swap(false) {
				download.Pause(ctx, turnTimeout*3/2)
			}
		})
	}))
	t.Cleanup(s.Close)
	return s.URL, late
}

// pump forwards messages until a connection ends.
func pump(ctx context.Context, to, from *websocket.Conn, before func(data []byte)) {
	for {
		kind, data, err := from.Read(ctx)
		if err != nil {
			return
		}
		before(data)
		if to.Write(ctx, kind, data) != nil {
			return
		}
	}
}

// A finished file is complete although aria2c answers the call that forgets it too late: it
// is not fetched again. A finished metalink leads to its file once.
func TestFinish_LateAnswerFetchesNothingAgain(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		size int
		path string
	}{
		"an empty file":            {0, "/file"},
		"a file without a version": {3000, "/file"},
		"a file with a version":    {maxUnstored * 2, "/file"},
		"a metalink":               {3001, "/link.meta4"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			data := downloadtest.Data(c.size)
			var links, files atomic.Int64
			content := downloadtest.Content(data)
			s := downloadtest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				isProbe := r.Method == http.MethodHead || r.Header.Get("Range") == "bytes=0-0"
				switch {
				case r.URL.Path == "/link.meta4":
					if !isProbe {
						links.Add(1)
					}
					w.Header().Set("Content-Type", "application/metalink4+xml")
					fmt.Fprintf(w, `<metalink xmlns="urn:ietf:params:xml:ns:metalink"><file name="file"><size>%d</size><url>http://%s/file</url></file></metalink>`, len(data), r.Host)
					return
				case !isProbe:
					files.Add(1)
				}
				content.ServeHTTP(w, r)
			}))
			port := freeTCPPort(t)
			startForeign(t, port, "s3cret")
			relay, late := relayLate(t, port, "aria2.removeDownloadResult")
			job := downloadtest.Job(t, "late-"+strconv.Itoa(c.size), s.URL+c.path)
			job.Fresh = true // as of a worker: the version of a small file is not stored
			e := startEngine(t, Config{AllowBT: true, Attach: &Attach{URL: relay, Secret: "s3cret", Folders: []string{filepath.Dir(job.Dir)}}})
			for round := int64(1); round <= 2; round++ {
				downloadtest.Add(t, e, job)
				downloadtest.MustComplete(t, e, job, data)
				downloadtest.Remove(t, e, job.Task.ID)
				if err := download.Wipe(job.Dir); err != nil {
					t.Fatal(err)
				}
				if got := links.Load(); strings.HasSuffix(c.path, ".meta4") && got != round {
					t.Errorf("in round %d the metalink was fetched %d times", round, got)
				}
				if got := files.Load(); got != round {
					t.Errorf("in round %d the file was fetched %d times", round, got)
				}
			}
			if late.Load() == 0 {
				t.Error("no call was late")
			}
		})
	}
}
