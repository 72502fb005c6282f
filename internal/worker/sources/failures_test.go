package sources

import (
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/aria-cluster/dispatcher/internal/freeport"
	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/internal/worker/aria2"
	"github.com/aria-cluster/dispatcher/internal/worker/direct"
	"github.com/aria-cluster/dispatcher/internal/worker/download"
	"github.com/aria-cluster/dispatcher/internal/worker/download/downloadtest"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

var update = flag.Bool("update", false, "write the golden files")

// mishap is something that goes wrong on the way to a file.
type mishap struct {
	name     string
	serve    http.Handler // nil: the URL leads to no server of the test
	url      string       // instead of the server's
	tls      bool
	checksum string
	options  []string // name, value, name, value
}

func mishaps(t *testing.T) []mishap {
	t.Helper()
	data := downloadtest.Data(200_000)
	once := []string{"max-tries", "1"}
	return []mishap{
		{name: "401", serve: http.HandlerFunc(status(401)), options: once},
		{name: "403", serve: http.HandlerFunc(status(403)), options: once},
		{name: "403 after half of the file", serve: forbidden(data, func(r *http.Request) bool { return r.Header.Get("Range") == "" || oneByte(r) }), options: []string{"max-tries", "2"}},
		{name: "404", serve: http.HandlerFunc(status(404)), options: once},
		{name: "410", serve: http.HandlerFunc(status(410)), options: once},
		{name: "429", serve: http.HandlerFunc(status(429)), options: once},
		{name: "500", serve: http.HandlerFunc(status(500)), options: once},
		{name: "503", serve: http.HandlerFunc(status(503)), options: once},
		{name: "a closed connection", serve: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { reset(w) }), options: once},
		{name: "a redirect without end", serve: http.RedirectHandler("/again", http.StatusFound), options: once},
		{name: "a server that is silent", serve: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { hang(r) }), options: []string{"max-tries", "1", "timeout", "1"}},
		{name: "a silence halfway", serve: halfThenSilence(data), options: []string{"max-tries", "1", "timeout", "1"}},
		{name: "another checksum", serve: good(data), checksum: "sha-256=" + strings.Repeat("a", 64)},
		{name: "an unknown certificate", serve: good(data), tls: true, options: once},
		{name: "connection refused", url: "http://" + freeport.Address(t) + "/file.bin", options: once},
		{name: "no such host", url: "http://nowhere.invalid/file.bin", options: once},
	}
}

// forbidden serves the first half of the file to the requests that are allowed, and
// forbids the others.
func forbidden(data []byte, allowed func(*http.Request) bool) http.Handler {
	half := cut(good(data), 1000)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !allowed(r) {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		half.ServeHTTP(w, r)
	})
}

func halfThenSilence(data []byte) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", fmt.Sprint(len(data)))
		if r.Method == http.MethodHead {
			return
		}
		_, _ = w.Write(data[:len(data)/2]) // a client that left sees it
		_ = http.NewResponseController(w).Flush()
		hang(r)
	})
}

// failingEngines are the two engines, each alone.
func failingEngines(t *testing.T) map[string]download.Engine {
	t.Helper()
	path, _, err := aria2.Find(t.Context())
	if err != nil {
		testbed.Missing(t, "aria2c", err)
	}
	guard := downloadtest.Loopback(t)
	a, err := aria2.New(aria2.Config{Binary: path, StateDir: t.TempDir(), Slots: 50, Logger: downloadtest.Logger(t), Guard: guard})
	if err != nil {
		t.Fatal(err)
	}
	d, err := direct.New(direct.Config{Slots: 50, Logger: downloadtest.Logger(t), Guard: guard})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, e := range []download.Engine{a, d} {
			if err := e.Close(); err != nil {
				t.Error(err)
			}
		}
	})
	return map[string]download.Engine{"aria2": a, "direct": d}
}

// changing is what differs from run to run.
var changing = regexp.MustCompile(`(127\.0\.0\.1:|, after )\d+`)

// Each failure says what happened in one sentence, with status and host, from either
// engine. testdata/failures.txt has them.
func TestFailures_SentenceOfEachEngine(t *testing.T) {
	engines := failingEngines(t)
	list := mishaps(t)
	for i, m := range list {
		for name, e := range engines {
			downloadtest.Add(t, e, m.job(t, fmt.Sprintf("%s-%d", name, i)))
		}
	}
	var got strings.Builder
	for i, m := range list {
		fmt.Fprintf(&got, "%s\n", m.name)
		for _, name := range []string{"aria2", "direct"} {
			err := downloadtest.MustFail(t, engines[name], fmt.Sprintf("%s-%d", name, i))
			fmt.Fprintf(&got, "  %-6s code=%d class=%s http_status=%d host=%s\n         %s\n", name, err.Code, err.Class,
				err.HTTPStatus, err.Host, changing.ReplaceAllString(err.Message, "${1}N"))
		}
	}
	golden := filepath.Join("testdata", "failures.txt")
	if *update {
		if err := os.WriteFile(golden, []byte(got.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got.String() != string(want) {
		t.Errorf("the sentences are\n%s\n%s has\n%s", got.String(), golden, want)
	}
}

func (m *mishap) job(t *testing.T, id string) download.Job {
	t.Helper()
	url := m.url
	if m.serve != nil {
		server := httptest.NewUnstartedServer(m.serve)
		if m.tls {
			server.StartTLS()
		} else {
			server.Start()
		}
		t.Cleanup(func() {
			server.CloseClientConnections()
			server.Close()
		})
		url = server.URL + "/file.bin"
	}
	job := downloadtest.Job(t, id, url, m.options...)
	job.Task.Checksum = m.checksum
	job.Task.Options["out"] = model.OptionValue{"file.bin"}
	return job
}
