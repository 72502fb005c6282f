package app_test

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aria-cluster/dispatcher/internal/freeport"
	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/internal/testbed/testpostgres"
)

// serverFailures is how often which server is killed, and under which load.
type serverFailures struct {
	nats      int // each time another one of three
	primaries int
	rate      int // submits a second
}

// One of three NATS servers is killed under load, then the primary of PostgreSQL, and its
// synchronous standby is promoted. Submits are acknowledged again within seconds, and no
// task that was acknowledged before, by the dispatcher or by the intake, is lost or begins
// twice. The long form is TestSoakFailover_Servers.
func TestFailover_ServersFailAndNothingIsLost(t *testing.T) {
	t.Parallel()
	playServerFailures(t, serverFailures{nats: 1, primaries: 1, rate: 50})
}

func playServerFailures(t *testing.T, f serverFailures) {
	dir := t.TempDir()
	if err := testbed.Build(dir, "../../cmd/dispatcher", "github.com/nats-io/nats-server/v2"); err != nil {
		t.Fatal(err)
	}
	servers := startNATSCluster(t, filepath.Join(dir, "nats-server"))
	primary := testpostgres.Start(t)
	standby := primary.StartStandby(t)
	for i := range servers.processes {
		servers.await(i)
	}
	p := &pair{
		T: t, binary: filepath.Join(dir, "dispatcher"), nats: servers.urls(),
		dsn: strings.Replace(primary.DSN("postgres"), primary.Address(), primary.Address()+","+standby.Address(), 1),
		env: []string{"DISPATCHER_NATS_REPLICAS=3", "DISPATCHER_DATABASE_REQUIRE_SYNC=true"},
	}
	p.start(0)
	p.start(1)
	p.standby(1 - p.leader())
	node := startNode(t, p.nats)
	load := startLoad(t, p.nats, f.rate, true)
	load.probe(t)
	for n := range f.nats {
		load.acknowledge(t, f.rate)
		began := time.Now()
		servers.processes[n%len(servers.processes)].Kill()
		load.recovered(t, "kill -9 of a NATS server", began, 10*time.Second)
		if n+1 < f.nats {
			servers.start(n % len(servers.processes))
		}
	}
	for n := range f.primaries {
		load.acknowledge(t, f.rate)
		began := time.Now()
		primary.Kill(t)
		standby.Promote(t)
		load.recovered(t, "kill -9 of the primary of PostgreSQL", began, 10*time.Second)
		if n+1 < f.primaries {
			primary.Follow(t, standby)
			primary, standby = standby, primary
		}
	}
	load.judge(t, node)
}

// natsCluster is three built NATS servers.
type natsCluster struct {
	*testing.T
	binary           string
	clients, monitor [3]string // addresses
	configs          [3]string
	processes        [3]*testbed.Process
}

// startNATSCluster starts them; await waits until one is ready.
func startNATSCluster(t *testing.T, binary string) *natsCluster {
	t.Helper()
	c := &natsCluster{T: t, binary: binary}
	var routes [3]string
	for i := range routes {
		c.clients[i], c.monitor[i], routes[i] = freeport.Address(t), freeport.Address(t), freeport.Address(t)
	}
	for i := range routes {
		dir := t.TempDir()
		c.configs[i] = filepath.Join(dir, "nats-server.conf")
		text := fmt.Sprintf("listen: %q\nhttp: %q\nserver_name: \"nats-%d\"\njetstream {store_dir: %q, sync_interval: always}\n"+
			"cluster {name: aria, listen: %q, routes: [\"nats://%s\"]}\n", c.clients[i], c.monitor[i], i, dir, routes[i], strings.Join(routes[:], `", "nats://`))
		if err := os.WriteFile(c.configs[i], []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		c.processes[i] = testbed.Start(t, exec.Command(binary, "-c", c.configs[i]))
	}
	return c
}

// start starts a server that was killed, and waits until it has what it missed.
func (c *natsCluster) start(i int) {
	c.Helper()
	c.processes[i] = testbed.Start(c, exec.Command(c.binary, "-c", c.configs[i]))
	c.await(i)
}

func (c *natsCluster) await(i int) {
	c.Helper()
	testbed.Eventually(c, "a NATS server of the cluster is healthy", func() bool {
		res, err := http.Get("http://" + c.monitor[i] + "/healthz")
		if err != nil {
			return false
		}
		_ = res.Body.Close()
		return res.StatusCode == http.StatusOK
	})
}

// urls returns the URLs of all servers.
func (c *natsCluster) urls() string { return "nats://" + strings.Join(c.clients[:], ",nats://") }
