package combined

import (
	"bytes"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/internal/worker/aria2"
	"github.com/aria-cluster/dispatcher/internal/worker/direct"
	"github.com/aria-cluster/dispatcher/internal/worker/download"
	"github.com/aria-cluster/dispatcher/internal/worker/download/downloadtest"
)

// newTrustingEngine makes one whose aria2c trusts the servers of downloadtest.ServeTLS.
func newTrustingEngine(t *testing.T) *Engine {
	t.Helper()
	path, _, err := aria2.Find(t.Context())
	if err != nil {
		testbed.Missing(t, "aria2c", err)
	}
	log, g := downloadtest.Logger(t), downloadtest.Loopback(t)
	a, err := aria2.New(aria2.Config{Binary: downloadtest.TrustingAria2c(t, path), StateDir: t.TempDir(), Slots: 100, Logger: log, Guard: g})
	if err != nil {
		t.Fatal(err)
	}
	d, err := direct.New(direct.Config{Slots: 100, Logger: log, Guard: g})
	if err != nil {
		t.Fatal(err)
	}
	e := New(d, a, 0, log)
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

// node serves a file of one byte, repeated, as one node of a server does. The ETag may be empty.
func node(content byte, length int, etag string) http.Handler {
	day := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	data := bytes.Repeat([]byte{content}, length)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if etag != "" {
			w.Header().Set("ETag", etag)
		}
		http.ServeContent(w, r, "", day, bytes.NewReader(data))
	})
}

// inParts are the options of a task that wants several connections to each of its sources,
// and fromMirrors those of one that wants one connection to each.
var (
	inParts     = []string{"split", "8", "max-connection-per-server", "4", "min-split-size", "1M"}
	fromMirrors = []string{"split", "3", "min-split-size", "1M"}
)

// versionCase is a job and the servers that it has.
type versionCase struct {
	name      string
	nodes     []http.Handler // of the server, one for each connection in turn
	mirrors   int
	options   []string
	withAria2 bool // aria2 begins the job
}

// versionCases are jobs of servers whose nodes have two versions of one length and date.
func versionCases() (list []versionCase) {
	const length = 4 << 20
	for tags, tag := range map[string][2]string{"ETags": {`"a"`, `"b"`}, "no ETag": {}, "one ETag": {`"a"`, ""}} {
		a, b := node('a', length, tag[0]), node('b', length, tag[1])
		for balancer, nodes := range map[string][]http.Handler{
			"in turn":     {a, b},
			"a stale one": {a, b, a, a, a, a, a, a},
			"a drop":      {a, downloadtest.Cut(b, 1<<20, -1), a, a, a, a, a, a},
		} {
			for _, c := range []versionCase{
				{"one source", nil, 0, inParts, false},
				{"mirrors", nil, 2, fromMirrors, false},
				{"mirrors, each in parts", nil, 2, inParts, false},
				{"aria2, one connection", nil, 0, nil, true},
				{"aria2, one source", nil, 0, inParts, true},
				{"aria2, mirrors", nil, 2, fromMirrors, true},
				{"aria2, mirrors, each in parts", nil, 2, inParts, true},
			} {
				c.name, c.nodes = tags+", "+balancer+", "+c.name, nodes
				list = append(list, c)
			}
		}
	}
	return list
}

// A server with TLS whose nodes have two versions of one length and date does not cause a mix:
// not over several connections, not with mirrors and not by a continuation.
func TestEngine_VersionsOfTLSNodesAreNotMixed(t *testing.T) {
	t.Parallel()
	e := newTrustingEngine(t)
	cases := versionCases()
	jobs := make([]download.Job, len(cases))
	for i, c := range cases {
		serve := func(n int) string {
			var throttle downloadtest.Throttle
			throttle.Set(16 << 20)
			from := n % 2 * (len(c.nodes) - 1) // the mirrors begin with another node
			nodes := append(slices.Clone(c.nodes[from:]), c.nodes[:from]...)
			return downloadtest.ServeTLS(t, throttle.Slow(downloadtest.Nodes(nodes...))).URL + "/file"
		}
		jobs[i] = downloadtest.Job(t, c.name, serve(0), c.options...)
		for n := range c.mirrors {
			jobs[i].Task.Mirrors = append(jobs[i].Task.Mirrors, serve(n+1))
		}
		if c.withAria2 {
			beginWithAria2(t, jobs[i])
		}
		downloadtest.Add(t, e, jobs[i])
	}
	for i, c := range cases {
		s := downloadtest.Await(t, e, c.name, downloadtest.Ended)
		if s.Phase != download.Complete {
			t.Errorf("%s: %+v", c.name, s.Err)
			continue
		}
		got, err := os.ReadFile(filepath.Join(jobs[i].Dir, "file"))
		if err != nil {
			t.Fatal(err)
		}
		if a := bytes.Count(got, []byte("a")); a != 0 && a != len(got) {
			t.Errorf("%s: a mix of two versions: %d of %d bytes are of one of them, gid %q", c.name, a, len(got), s.GID)
		}
	}
}

// beginWithAria2 makes aria2 the first engine of a job over HTTP, as bytes of it do.
func beginWithAria2(t *testing.T, job download.Job) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(job.Dir, "old.aria2"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
}
