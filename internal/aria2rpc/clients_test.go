package aria2rpc_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aria-cluster/dispatcher/internal/testbed"
)

// Programs made for aria2 run one story against aria2c and against a cluster: add, follow
// by notifications, pause, list, remove.
func TestClients_DriveClusterAsAria2(t *testing.T) {
	t.Parallel()
	testbed.RequireBinary(t, "node")
	testbed.RequireBinary(t, "python3")
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("clients")); err != nil {
		t.Fatal(err)
	}
	install := command(t, dir, "npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts")
	if out, err := install.CombinedOutput(); err != nil {
		testbed.Missing(t, "npm", fmt.Errorf("npm ci: %w\n%s", err, out))
	}
	base := fileServer(t)
	for _, e := range []*endpoint{startAria2(t), startCluster(t)} {
		host, port, err := net.SplitHostPort(strings.TrimPrefix(e.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		for _, program := range [][]string{{"node", "aria2.mjs"}, {"node", "maria2.mjs"}, {"python3", "xmlrpc_client.py"}} {
			t.Run(e.name+" by "+program[1], func(t *testing.T) {
				cmd := command(t, dir, program[0], filepath.Join(dir, program[1]), host, port, secret, base)
				if out, err := cmd.CombinedOutput(); err != nil {
					t.Errorf("%v\n%s", err, out)
				}
			})
		}
	}
}

func command(t *testing.T, dir, name string, args ...string) *exec.Cmd {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	return cmd
}
