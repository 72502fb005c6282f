package aria2rpc_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aria-cluster/dispatcher/internal/app/node"
	"github.com/aria-cluster/dispatcher/internal/config"
	"github.com/aria-cluster/dispatcher/internal/freeport"
	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/internal/testbed/testdaemon"
)

const secret = "a-secret-of-tests"

// endpoint is a server of aria2's RPC.
type endpoint struct {
	name string
	url  string // http://HOST:PORT
	dir  string
	gids map[string]string // what the calls have named

	daemon *testdaemon.Dispatcher // nil for aria2c
}

// answer is what came back, decoded.
type answer struct {
	Status int
	Body   any // nil if it is empty or not JSON
}

// post sends a text as it is.
func (e *endpoint) post(t *testing.T, method, path, text string) answer {
	t.Helper()
	request, err := http.NewRequestWithContext(testbed.Context(t), method, e.url+path, strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	request.Close = true // aria2 remembers a fault for the rest of a connection, see findings
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatalf("%s: %v", e.name, err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatalf("%s: %v", e.name, err)
	}
	a := answer{Status: response.StatusCode}
	if json.Unmarshal(body, &a.Body) != nil && len(body) > 0 {
		a.Body = string(body)
	}
	return a
}

// call calls a method with the token and returns the answer without its envelope.
func (e *endpoint) call(t *testing.T, method string, params ...any) answer {
	t.Helper()
	if method != "system.multicall" && method != "system.listMethods" && method != "system.listNotifications" {
		params = append([]any{"token:" + secret}, params...)
	}
	body, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": "1", "method": method, "params": params})
	if err != nil {
		t.Fatal(err)
	}
	a := e.post(t, http.MethodPost, "/jsonrpc", string(body))
	fields, _ := a.Body.(map[string]any)
	if a.Body = fields["result"]; a.Body == nil {
		a.Body = fields["error"]
	}
	return a
}

// result is the result of a call that must succeed.
func (e *endpoint) result(t *testing.T, method string, params ...any) any {
	t.Helper()
	a := e.call(t, method, params...)
	if a.Status != http.StatusOK {
		t.Fatalf("%s: %s %v: %d %v", e.name, method, params, a.Status, a.Body)
	}
	return a.Body
}

// waitFor waits until a download has a status; "moving" is active with its first bytes.
func (e *endpoint) waitFor(t *testing.T, gid, status string) {
	t.Helper()
	testbed.Eventually(t, e.name+": "+gid+" is "+status, func() bool {
		fields, _ := e.call(t, "aria2.tellStatus", gid).Body.(map[string]any)
		if status == "moving" {
			return fields["status"] == "active" && fields["completedLength"] != "0"
		}
		return fields["status"] == status
	})
}

// startAria2 starts the real aria2c.
func startAria2(t *testing.T) *endpoint {
	t.Helper()
	program := testbed.RequireBinary(t, "aria2c")
	dir := t.TempDir()
	address := freeport.Address(t)
	_, port, _ := strings.Cut(address, ":")
	testbed.Start(t, exec.Command(program, "--no-conf", "--enable-rpc", "--rpc-listen-port="+port, "--rpc-secret="+secret,
		"--dir="+dir, "--max-concurrent-downloads=2", "--quiet", "--auto-file-renaming=true", "--retry-wait=0"))
	e := &endpoint{name: "aria2c", url: "http://" + address, dir: dir, gids: make(map[string]string)}
	testbed.Eventually(t, "aria2c answers", func() bool {
		c, err := (&http.Client{Timeout: time.Second}).Post(e.url+"/jsonrpc", "", strings.NewReader("[]"))
		if err == nil {
			_ = c.Body.Close()
		}
		return err == nil
	})
	return e
}

// startCluster starts a dispatcher with one worker of two slots.
func startCluster(t *testing.T, change ...func(*config.Dispatcher)) *endpoint {
	t.Helper()
	return startClusterWith(t, func(*config.Worker) {}, change...)
}

// startClusterWith is startCluster with another configuration of the worker.
func startClusterWith(t *testing.T, worker func(*config.Worker), change ...func(*config.Dispatcher)) *endpoint {
	t.Helper()
	secrets := filepath.Join(t.TempDir(), "secrets")
	if err := os.WriteFile(secrets, []byte("tester:"+secret+"\nother:another-secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	set := func(c *config.Dispatcher) {
		c.HTTP.Listen, c.Aria2RPC.SecretsFile, c.TaskAssignment.MaxRetries = "127.0.0.1:0", secrets, 0
	}
	d := testdaemon.Start(t, append([]func(*config.Dispatcher){set}, change...)...)
	dir := t.TempDir()
	startWorker(t, d.URL, dir, worker)
	return &endpoint{name: "cluster", url: "http://" + d.HTTP, dir: dir, gids: make(map[string]string), daemon: d}
}

// startWorker runs a worker that may fetch from this machine until the end of the test.
func startWorker(t *testing.T, url, dir string, change func(*config.Worker)) {
	t.Helper()
	cfg := config.DefaultWorker()
	cfg.Name, cfg.Dir, cfg.NATS.URL, cfg.Slots = "w1", dir, config.URLs(url), 2
	cfg.AllowNetworks = []string{"loopback", "private"}
	change(cfg)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- node.Run(ctx, cfg, slog.New(slog.DiscardHandler)) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the worker: %v", err)
		}
	})
}

// fileServer serves /fast/NAME at once, /slow/NAME without an end until the test is
// over, and /status/CODE/NAME with that status.
func fileServer(t *testing.T) string {
	t.Helper()
	done := make(chan struct{})
	var once sync.Once
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var code int
		switch {
		case strings.HasPrefix(r.URL.Path, "/fast/"):
			http.ServeContent(w, r, "", time.Unix(1700000000, 0), bytes.NewReader(bytes.Repeat([]byte("x"), 10_000)))
		case strings.HasPrefix(r.URL.Path, "/slow/"):
			const size = 4 << 20
			first, ranged := 0, false
			if _, err := fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-", &first); err == nil {
				ranged = true
			}
			w.Header().Set("Content-Length", fmt.Sprint(size-first))
			w.Header().Set("Last-Modified", "Tue, 14 Nov 2023 22:13:20 GMT")
			w.Header().Set("Accept-Ranges", "bytes")
			if ranged {
				w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", first, size-1, size))
				w.WriteHeader(http.StatusPartialContent)
			}
			if r.Method == http.MethodHead {
				return
			}
			_, _ = w.Write(bytes.Repeat([]byte("x"), 20_000))
			w.(http.Flusher).Flush()
			select {
			case <-done:
			case <-r.Context().Done():
			}
		default:
			if _, err := fmt.Sscanf(r.URL.Path, "/status/%d/", &code); err != nil {
				code = http.StatusNotFound
			}
			w.WriteHeader(code)
		}
	}))
	t.Cleanup(func() {
		once.Do(func() { close(done) })
		s.Close()
	})
	return s.URL
}

var gidPattern = regexp.MustCompile(`^[0-9a-f]{16}$`)

// normalise replaces what differs from run to run: gids, folders, addresses; and figures
// that depend on the moment by "#" where volatile has their name.
func (e *endpoint) normalise(v any, volatile []string) any {
	switch v := v.(type) {
	case string:
		for name, gid := range e.gids {
			v = strings.ReplaceAll(v, gid, name)
		}
		if gidPattern.MatchString(v) {
			return "GID"
		}
		return strings.ReplaceAll(v, e.dir, "DIR")
	case []any:
		for i := range v {
			v[i] = e.normalise(v[i], volatile)
		}
	case map[string]any:
		for name := range v {
			v[name] = e.normalise(v[name], volatile)
			if text, ok := v[name].(string); ok && contains(volatile, name) && text != "" {
				v[name] = "#"
			}
		}
	}
	return v
}

func contains(list []string, s string) bool {
	for _, one := range list {
		if one == s {
			return true
		}
	}
	return false
}

// fill replaces $NAME by the gid that a call has named, in all texts of a value.
func (e *endpoint) fill(v any) any {
	switch v := v.(type) {
	case string:
		if gid := e.gids[v]; gid != "" {
			return gid
		}
		return v
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = e.fill(v[i])
		}
		return out
	case map[string]any:
		out := make(map[string]any, len(v))
		for name := range v {
			out[name] = e.fill(v[name])
		}
		return out
	}
	return v
}
