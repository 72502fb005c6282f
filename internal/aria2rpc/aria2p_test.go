//go:build aria2p

package aria2rpc_test

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// aria2p itself, from the source folder that ARIA2P_DIR names, runs one story against
// aria2c and against a cluster. It is in no package index that CI can count on, so the test
// has a build tag. Python needs its dependencies (requests, websocket-client, loguru):
//
//	ARIA2P_DIR=/path/to/aria2p go test -tags aria2p -run Aria2p ./internal/aria2rpc
func TestAria2p_DrivesClusterAsAria2(t *testing.T) {
	folder := os.Getenv("ARIA2P_DIR")
	if folder == "" {
		t.Fatal("set ARIA2P_DIR to the folder of the source of aria2p")
	}
	story, err := filepath.Abs("clients/aria2p_story.py")
	if err != nil {
		t.Fatal(err)
	}
	base := fileServer(t)
	for _, e := range []*endpoint{startAria2(t), startCluster(t)} {
		t.Run(e.name, func(t *testing.T) {
			host, port, err := net.SplitHostPort(strings.TrimPrefix(e.url, "http://"))
			if err != nil {
				t.Fatal(err)
			}
			cmd := command(t, t.TempDir(), "python3", story, host, port, secret, base)
			cmd.Env = append(os.Environ(), "PYTHONPATH="+filepath.Join(folder, "src"))
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}
