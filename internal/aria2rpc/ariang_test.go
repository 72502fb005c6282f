//go:build ariang

package aria2rpc_test

import (
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aria-cluster/dispatcher/internal/config"
	"github.com/aria-cluster/dispatcher/internal/testbed"
)

// AriaNg itself, from the folder that ARIANG_DIR names (a release, unpacked), drives a
// cluster: add, watch, detail, pause, remove, settings, without an error box. CI cannot
// fetch the release, so the test has a build tag:
//
//	ARIANG_DIR=/path/to/AriaNg go test -tags ariang -run AriaNg ./internal/aria2rpc
func TestAriaNg_DrivesCluster(t *testing.T) {
	folder := os.Getenv("ARIANG_DIR")
	if folder == "" {
		t.Fatal("set ARIANG_DIR to the folder of an AriaNg release")
	}
	page := httptest.NewServer(http.FileServer(http.Dir(folder)))
	defer page.Close()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("ariang")); err != nil {
		t.Fatal(err)
	}
	if out, err := command(t, dir, "npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts").CombinedOutput(); err != nil {
		t.Fatalf("npm ci: %v\n%s", err, out)
	}
	e := startCluster(t, func(c *config.Dispatcher) { c.Aria2RPC.AllowOrigins = []string{page.URL} })
	host, port, err := net.SplitHostPort(strings.TrimPrefix(e.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := command(t, dir, testbed.RequireBinary(t, "node"), filepath.Join(dir, "ariang.mjs"), page.URL+"/index.html", host, port, secret,
		fileServer(t), testbed.RequireBinary(t, "chromium"))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
