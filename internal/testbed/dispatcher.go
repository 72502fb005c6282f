package testbed

import (
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/aria-cluster/dispatcher/internal/freeport"
)

// Dispatcher starts a built dispatcher in dir, as its user would, with an embedded
// NATS server, workers that are not missed for an hour, and these variables. It
// returns the URL of the NATS server, when the dispatcher serves.
func Dispatcher(t testing.TB, binary, dir string, env ...string) (p *Process, url string) {
	t.Helper()
	nats, web := freeport.Address(t), freeport.Address(t)
	cmd := exec.CommandContext(t.Context(), binary)
	cmd.Dir = dir
	cmd.Env = append([]string{"HOME=" + dir, "DISPATCHER_NATS_LISTEN=" + nats, "DISPATCHER_HTTP_LISTEN=" + web,
		"DISPATCHER_NATS_STORE_DIR=" + filepath.Join(dir, "nats"), "DISPATCHER_WORKER_MANAGEMENT_HEARTBEAT_TIMEOUT=3600"}, env...)
	p = Start(t, cmd)
	Eventually(t, "the dispatcher is ready", func() bool { return answers(t, "http://"+web+"/readyz") })
	return p, "nats://" + nats
}
