package main

import (
	"archive/tar"
	"bytes"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/internal/testbed/testbus"
)

// goSource is the Go toolchain's own src folder as a tar: a real file of more
// than 50 MB that every machine with Go has.
func goSource(t *testing.T) []byte {
	t.Helper()
	out, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	src := filepath.Join(strings.TrimSpace(string(out)), "src")
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	if err := w.AddFS(os.DirFS(src)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if buf.Len() < 50_000_000 {
		t.Fatalf("the tar of %s has %d bytes, want more than 50 MB", src, buf.Len())
	}
	return buf.Bytes()
}

// dispatcher -dev URL downloads the whole file.
func TestDev_DownloadsWholeFile(t *testing.T) {
	t.Parallel()
	files := serveFile(t, goSource(t), 0)
	for _, c := range []struct{ engine, says string }{
		{"aria2", "downloads with aria2 1."},
		{"direct", "downloads with the engine direct"},
	} {
		t.Run(c.engine, func(t *testing.T) {
			t.Parallel()
			var env []string
			if c.engine == "aria2" {
				testbed.RequireBinary(t, "aria2c")
			} else {
				env = append(env, "PATH="+t.TempDir())
			}
			dir := t.TempDir()
			p := start(t, dir, env, "dispatcher", "-dev", "-exit", files.URL+"/go-src.tar")
			if code := p.Wait(2 * time.Minute); code != 0 {
				t.Fatalf("exit code %d", code)
			}
			if !strings.Contains(p.Out.String(), c.says) {
				t.Errorf("it does not say %q", c.says)
			}
			if strings.Contains(p.Out.String(), "level=") {
				t.Error("it logs something that a newcomer need not know")
			}
			path := completedPath(t, p, files.URL+"/go-src.tar")
			if got := testbed.SHA256(t, filepath.Join(dir, path)); got != files.sha256 {
				t.Errorf("%s has the sha256 %s, want %s", path, got, files.sha256)
			}
		})
	}
}

// Help or version that cannot be written is a failure.
func TestRun_UnwrittenOutputIsFailure(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	for _, flag := range []string{"-h", "-version"} {
		if code := run(t.Context(), []string{flag}, nil, full, io.Discard); code != 1 {
			t.Errorf("%s: exit code %d", flag, code)
		}
	}
}

// Several -dev start at once: each takes a port that another has found free, or the next one.
func TestDev_SeveralStartAtOnce(t *testing.T) {
	t.Parallel()
	files := serveFile(t, []byte("some bytes"), 0)
	var all []*testbed.Process
	for range 5 {
		all = append(all, start(t, t.TempDir(), []string{"PATH=" + t.TempDir()}, "dispatcher", "-dev", "-exit", files.URL+"/go-src.tar"))
	}
	for i, p := range all {
		if code := p.Wait(2 * time.Minute); code != 0 {
			t.Errorf("the %d. of %d: exit code %d", i+1, len(all), code)
		}
	}
}

// A second -dev in the same folder says who has it.
func TestDev_SecondInOneFolderSaysWhy(t *testing.T) {
	t.Parallel()
	dir, env := t.TempDir(), []string{"PATH=" + t.TempDir()}
	files := serveFile(t, []byte("some bytes"), 0)
	first := start(t, dir, env, "dispatcher", "-dev", files.URL+"/go-src.tar")
	testbed.Within(t, time.Minute, "the first completes", func() bool { return strings.Contains(first.Out.String(), "1 of 1 completed") })
	second := start(t, dir, env, "dispatcher", "-dev", "-exit", files.URL+"/other")
	if code := second.Wait(time.Minute); code != 1 || !strings.Contains(second.Out.String(), "is in use by the worker") {
		t.Errorf("exit code %d, want 1 and who has the folder", code)
	}
}

// Without listeners, -dev runs inside its process and completes the download.
func TestDev_CompletesWithoutListeners(t *testing.T) {
	t.Parallel()
	files := serveFile(t, []byte("a small file"), 0)
	dir := t.TempDir()
	p := start(t, dir, nil, "dispatcher", "-dev", "-exit", "-nats-listen=", "-http-listen=", files.URL+"/a")
	if code := p.Wait(time.Minute); code != 0 {
		t.Fatalf("exit code %d", code)
	}
	if got := testbed.SHA256(t, filepath.Join(dir, completedPath(t, p, files.URL+"/a"))); got != files.sha256 {
		t.Errorf("the sha256 is %s, want %s", got, files.sha256)
	}
	if !strings.Contains(p.Out.String(), "NATS on embedded, without a listener\n") {
		t.Error("it does not say that NATS has no listener")
	}
}

// -dev prints the aria2 endpoint with a secret that it accepts.
func TestDev_PrintsAria2EndpointWithSecret(t *testing.T) {
	p := start(t, t.TempDir(), nil, "dispatcher", "-dev", "-nats-listen=", "-http-listen=127.0.0.1:0")
	line := regexp.MustCompile(`aria2 RPC on (http://\S+), secret (\S+)`)
	testbed.Eventually(t, "it prints the endpoint", func() bool { return line.MatchString(p.Out.String()) })
	m := line.FindStringSubmatch(p.Out.String())
	testbed.Eventually(t, "the endpoint answers", func() bool {
		body := `{"id":1,"method":"aria2.getVersion","params":["token:` + m[2] + `"]}`
		answer, err := http.Post(m[1], "", strings.NewReader(body))
		if err != nil {
			return false
		}
		_ = answer.Body.Close()
		return answer.StatusCode == http.StatusOK
	})
}

// completedPath finds in the summary where the file of a URL is.
func completedPath(t *testing.T, p *testbed.Process, url string) string {
	t.Helper()
	m := regexp.MustCompile(`(?m)^completed ` + regexp.QuoteMeta(url) + `: (.*) \(.*\)$`).FindStringSubmatch(p.Out.String())
	if m == nil {
		t.Fatalf("no summary of %s", url)
	}
	return m[1]
}

// With ten URLs, -dev names the one that does not exist.
func TestDev_NamesMissingURLAmongTen(t *testing.T) {
	t.Parallel()
	files := serveFile(t, goSource(t)[:5_000_000], 0)
	args := []string{"-dev", "-exit"}
	var good []string
	for i := range 9 {
		good = append(good, files.URL+"/file-"+string(rune('a'+i))+".bin")
	}
	args = append(append(args, good[:4]...), files.URL+"/missing.iso")
	args = append(args, good[4:]...)
	dir := t.TempDir()
	p := start(t, dir, nil, "dispatcher", args...)
	if code := p.Wait(2 * time.Minute); code != 1 {
		t.Errorf("exit code %d, want 1", code)
	}
	for _, url := range good {
		if got := testbed.SHA256(t, filepath.Join(dir, completedPath(t, p, url))); got != files.sha256 {
			t.Errorf("%s has the sha256 %s, want %s", url, got, files.sha256)
		}
	}
	if !regexp.MustCompile(`(?m)^failed ` + regexp.QuoteMeta(files.URL) + `/missing\.iso: .*(404|not found)`).MatchString(p.Out.String()) {
		t.Error("the missing file is not named with its reason")
	}
	if !strings.Contains(p.Out.String(), "9 of 10 completed") {
		t.Error("the sum is not told")
	}
}

// Several -dev that start at once on one machine take free ports. Each says in one line for
// each address that it wanted which one it uses, and uses it.
func TestDev_OthersTakeFreePortsAndPrintThem(t *testing.T) {
	first := start(t, t.TempDir(), nil, "dispatcher", "-dev")
	testbed.Eventually(t, "the first serves", func() bool { return strings.Contains(first.Out.String(), "NATS on ") })
	others := make([]*testbed.Process, 4)
	for i := range others {
		others[i] = start(t, t.TempDir(), nil, "dispatcher", "-dev")
	}
	for _, other := range others {
		testbed.Eventually(t, "another one serves", func() bool { return strings.Contains(other.Out.String(), "submit with: nats ") })
		moved := regexp.MustCompile(`(?m)^(127\.0\.0\.1:\d+) is taken, using (127\.0\.0\.1:\d+)$`).FindAllStringSubmatch(other.Out.String(), -1)
		if len(moved) != 2 || moved[0][1] != "127.0.0.1:4222" || moved[1][1] != "127.0.0.1:8080" ||
			!strings.Contains(other.Out.String(), "NATS on nats://"+moved[0][2]+", dashboard on http://"+moved[1][2]+"/") ||
			!strings.Contains(other.Out.String(), "submit with: nats -s nats://"+moved[0][2]+" req ") {
			t.Errorf("%q, printed %s", moved, other.Out)
		}
	}
	first.Stop()
	for _, other := range others {
		other.Stop()
	}
}

// Bad usage ends with exit code 2 and names the key.
func TestDispatcher_BadUsageExits2AndNamesKey(t *testing.T) {
	for _, c := range []struct {
		program, env string // several variables have spaces between
		args         []string
		want         string
	}{
		{"dispatcher", "DISPATCHER_DB_TYPE=oracle", nil, "database.type"},
		{"dispatcher", "", []string{"-nonsense"}, "nonsense"},
		{"dispatcher", "DISPATCHER_LIMITS_MAX_PENDING=many", nil, "limits.max_pending"},
		{"dispatcher", "", []string{"-config", "nowhere.json"}, "nowhere.json"},
		{"dispatcher", "DISPATCHER_HTTP_USERS_FILE=nowhere", []string{"-nats-listen="}, "http.users_file: open nowhere"},
		{"dispatcher", "DISPATCHER_HTTP_CERT=nowhere DISPATCHER_HTTP_KEY=nowhere", []string{"-nats-listen=", "-http-listen", "127.0.0.1:0"}, "http.cert: open nowhere"},
		{"worker", "NATS_URL=" + testbus.StartServer(t).ClientURL() + " WORKER_ARIA2_URL=http://127.0.0.1:1/jsonrpc WORKER_ARIA2_SECRET_FILE=nowhere", nil, "aria2.secret_file: open nowhere"},
		{"dispatcher", "DISPATCHER_HTTP_TOKENS_FILE=nowhere", []string{"-nats-listen="}, "http.tokens_file: open nowhere"},
		{"dispatcher", "DISPATCHER_DB_DSN=nonsense", []string{"-db-type", "postgres"}, "database.dsn"},
	} {
		p := start(t, t.TempDir(), strings.Fields(c.env), c.program, c.args...)
		if code := p.Wait(10 * time.Second); code != 2 || !strings.Contains(p.Out.String(), c.want) {
			t.Errorf("%s %s %v: exit code %d, printed %q; want 2 and %q", c.program, c.env, c.args, code, p.Out, c.want)
		}
	}
	for _, name := range []string{"dispatcher", "worker"} {
		p := start(t, t.TempDir(), nil, name, "-version")
		if code := p.Wait(10 * time.Second); code != 0 || !strings.Contains(p.Out.String(), "schema ") {
			t.Errorf("%s -version: %d, %q", name, code, p.Out)
		}
		p = start(t, t.TempDir(), nil, name, "-h")
		if code := p.Wait(10 * time.Second); code != 0 || !strings.Contains(p.Out.String(), "-log-level") {
			t.Errorf("%s -h: %d, %q", name, code, p.Out)
		}
	}
}
