package httpd

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/aria-cluster/dispatcher/internal/freeport"
	"github.com/aria-cluster/dispatcher/internal/testbed"
)

// start runs a server with the options until the test ends.
func start(t *testing.T, o Options) *Server {
	t.Helper()
	if o.Ready == nil {
		o.Ready = func() error { return nil }
	}
	if o.Auth.OpenRole == "" {
		o.Auth.OpenRole = RoleOperator
	}
	if o.Listen == "" {
		o.Listen = "127.0.0.1:0"
	}
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := testbed.Receive(t, ended); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return s
}

// answer is what a server answered.
type answer struct {
	status int
	header http.Header
	body   string
}

// do sends one request, without following redirects.
func do(t *testing.T, req *http.Request) answer {
	t.Helper()
	client := &http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	res, err := client.Do(req.WithContext(testbed.Context(t)))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{res.StatusCode, res.Header, string(body)}
}

// get asks for a path.
func get(t *testing.T, address, path string) answer {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, "http://"+address+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	return do(t, req)
}

var page = fstest.MapFS{"index.html": {Data: []byte("<p>hello")}, "js/app.js": {Data: []byte("export {}")}}

// TestServer_BasePathPrefixesAllButHealth checks that behind a base path the dashboard
// answers there only, and the health paths with and without it.
func TestServer_BasePathPrefixesAllButHealth(t *testing.T) {
	s := start(t, Options{BasePath: "/a/b", Dashboard: page, Metrics: http.NotFoundHandler()})
	for path, want := range map[string]int{
		"/a/b/": 200, "/a/b/js/app.js": 200, "/a/b/healthz": 200, "/healthz": 200, "/readyz": 200,
		"/": 404, "/js/app.js": 404, "/a/b/js/": 404, "/a/b/js": 404, "/a/b/none": 404, "/a/bc": 404, "/a/b": 301, "/a/b/api/v1/none": 404,
		"/a/b//": 404, "/a/b//js/app.js": 404, "/a//b/js/app.js": 404, "/a/b/./js/app.js": 404, "/a/b/../b/js/app.js": 404, "/a/b/js/../../healthz": 404,
		"/a%2Fb/js/app.js": 404, "//a/b/": 404, "/A/b/": 404,
	} {
		if got := get(t, s.Addr(), path); got.status != want {
			t.Errorf("%s: %d %.80s, want %d", path, got.status, got.body, want)
		}
	}
	if got := get(t, s.Addr(), "/none"); got.body != `{"error":{"code":404,"message":"there is nothing at \"/none\""}}` {
		t.Errorf("an error is %s", got.body)
	}
}

// TestServer_HealthAddressServesHealthOnly checks the second address.
func TestServer_HealthAddressServesHealthOnly(t *testing.T) {
	s := start(t, Options{HealthListen: "127.0.0.1:0", Dashboard: page, Ready: func() error { return errors.New("not yet") }})
	for path, want := range map[string]int{"/healthz": 200, "/readyz": 503, "/": 404, "/js/app.js": 404, "/debug/pprof/": 404, "/metrics": 404} {
		if got := get(t, s.HealthAddr(), path); got.status != want {
			t.Errorf("%s: %d %.80s, want %d", path, got.status, got.body, want)
		}
	}
}

// TestReadiness_NamesLostCommits checks /readyz with and without commits that PostgreSQL has
// lost.
func TestReadiness_NamesLostCommits(t *testing.T) {
	for lost, want := range map[int64]string{0: `{"status":"ready","role":"alone"}`, 3: `{"status":"ready","role":"alone","lost_commits":3}`} {
		s := start(t, Options{LostCommits: func() int64 { return lost }})
		if got := get(t, s.Addr(), "/readyz"); got.status != 200 || strings.TrimSpace(got.body) != want {
			t.Errorf("with %d lost commits: %d %s, want %s", lost, got.status, got.body, want)
		}
	}
}

// TestReadiness_NamesUnmetSync checks that /readyz says why the store is less durable than
// required: the dispatcher is ready all the same.
func TestReadiness_NamesUnmetSync(t *testing.T) {
	s := start(t, Options{UnmetSync: func() string { return "fsync is off" }})
	want := `{"status":"ready","role":"alone","require_sync_unmet":"fsync is off"}`
	if got := get(t, s.Addr(), "/readyz"); got.status != 200 || strings.TrimSpace(got.body) != want {
		t.Errorf("%d %s, want %s", got.status, got.body, want)
	}
}

// TestDashboard_UnchangedFileIsNotSentAgain checks the ETag.
func TestDashboard_UnchangedFileIsNotSentAgain(t *testing.T) {
	s := start(t, Options{Dashboard: page})
	first := get(t, s.Addr(), "/js/app.js")
	req, err := http.NewRequest(http.MethodGet, "http://"+s.Addr()+"/js/app.js", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("If-None-Match", first.header.Get("ETag"))
	if again := do(t, req); again.status != 304 || first.status != 200 || !strings.HasPrefix(first.header.Get("Content-Type"), "text/javascript") {
		t.Errorf("first %d %v, again %d", first.status, first.header, again.status)
	}
}

// TestDashboard_FilesOfItsBuildAreKept checks that a browser keeps the files that the page
// refers to, until the page refers to those of another build.
func TestDashboard_FilesOfItsBuildAreKept(t *testing.T) {
	script := `<script src="assets/js/app.js">`
	s := start(t, Options{Dashboard: fstest.MapFS{"index.html": {Data: []byte(script)}, "js/app.js": {Data: []byte("export {}")}}})
	index := get(t, s.Addr(), "/")
	_, name, _ := strings.Cut(strings.TrimSuffix(index.body, `">`), `"`)
	build := strings.TrimSuffix(name, "js/app.js")
	for path, want := range map[string]string{
		"/": "200 no-cache", "/" + name: "200 private, max-age=31536000, immutable", "/assets/earlier/js/app.js": "200 no-cache",
		"/js/app.js": "200 no-cache", "/assets/js/app.js": "404 no-store", "/" + build: "404 no-store", "/" + build + "index.html": "404 no-store", "/assets/": "404 no-store",
	} {
		got := get(t, s.Addr(), path)
		if text := fmt.Sprint(got.status, " ", got.header.Get("Cache-Control")); text != want {
			t.Errorf("%s: %s, want %s", path, text, want)
		}
	}
}

// TestDashboard_FileIsCompressed checks that a browser that can unpack gets a packed file.
func TestDashboard_FileIsCompressed(t *testing.T) {
	script := strings.Repeat("export {}\n", 1000)
	s := start(t, Options{Dashboard: fstest.MapFS{"app.js": {Data: []byte(script)}}})
	req, err := http.NewRequest(http.MethodGet, "http://"+s.Addr()+"/app.js", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept-Encoding", "gzip, br")
	packed := do(t, req)
	unpacked, err := gzip.NewReader(strings.NewReader(packed.body))
	if err != nil {
		t.Fatalf("%v %v", packed.header, err)
	}
	if text, err := io.ReadAll(unpacked); err != nil || string(text) != script || len(packed.body) > len(script)/10 {
		t.Errorf("%d bytes are %d bytes, %v", len(packed.body), len(text), err)
	}
	req.Header.Set("Accept-Encoding", "identity")
	plain := do(t, req)
	if plain.body != script || plain.header.Get("ETag") == packed.header.Get("ETag") || plain.header.Get("Vary") != "Accept-Encoding" {
		t.Errorf("%d bytes, %v beside %v", len(plain.body), plain.header, packed.header)
	}
}

// TestServer_TakenAddressNamesItsKey checks the errors of New.
func TestServer_TakenAddressNamesItsKey(t *testing.T) {
	s := start(t, Options{})
	if _, err := New(Options{Listen: s.Addr()}); err == nil || !strings.HasPrefix(err.Error(), "http.listen: ") {
		t.Errorf("http.listen is taken: %v", err)
	}
	free := freeport.Address(t)
	if _, err := New(Options{Listen: free, HealthListen: s.Addr()}); err == nil || !strings.HasPrefix(err.Error(), "http.health_listen: ") {
		t.Errorf("http.health_listen is taken: %v", err)
	}
	start(t, Options{Listen: free}) // the failed New has closed it
}
