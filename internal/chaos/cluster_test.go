//go:build soak

package chaos

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/aria-cluster/dispatcher/internal/freeport"
	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/pkg/bus/client"
)

const (
	clientName        = "chaos"
	heartbeatInterval = time.Second
	heartbeatTimeout  = 6 * time.Second
	maxPayload        = 1 << 20
	slots             = 4 // of each worker
)

var binaries string // the folder of the built programs

func TestMain(m *testing.M) {
	testbed.Main(m, func(dir string) error {
		binaries = dir
		return testbed.Build(dir, "../../cmd/dispatcher", "../../cmd/worker", "github.com/nats-io/nats-server/v2")
	})
}

// problems collects what is wrong from all goroutines of a test, up to a bound.
type problems struct {
	mu   sync.Mutex
	list []string
	more int
}

func (p *problems) add(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.list) == 100 {
		p.more++
		return
	}
	p.list = append(p.list, time.Now().UTC().Format("15:04:05.000 ")+fmt.Sprintf(format, args...))
}

// report fails the test if there is any problem.
func (p *problems) report(t *testing.T) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, text := range p.list {
		t.Error(text)
	}
	if p.more > 0 {
		t.Errorf("and %d more problems", p.more)
	}
}

// node is a worker with its folder.
type node struct {
	*program

	engine string
	files  string // its download folder
}

// cluster is a NATS server, a dispatcher with SQLite and workers, all processes.
type cluster struct {
	dir        string
	listen     string // of the NATS server
	url        string
	server     *program
	dispatcher *program
	workers    []*node
	nc         *nats.Conn
	client     *client.Client
	problems   *problems

	mu      sync.Mutex
	payload int // max_payload of the NATS server
	reloads int
}

// startCluster starts the programs: for each engine a worker.
func startCluster(t *testing.T, engines ...string) *cluster {
	t.Helper()
	testbed.RequireBinary(t, "aria2c")
	dir := t.ArtifactDir()
	listen := freeport.Address(t)
	c := &cluster{dir: dir, listen: listen, url: "nats://" + listen, problems: &problems{}, payload: maxPayload}
	l := newLauncher(t)
	add := func(name, binary string, env []string, args ...string) *program {
		p := &program{
			name: name, path: filepath.Join(binaries, binary), args: args, env: env, dir: dir,
			log: filepath.Join(dir, name+".log"), launcher: l, ended: func(text string) { c.problems.add("%s", text) },
		}
		p.killAtEnd(t)
		return p
	}
	c.server = add("nats-server", "nats-server", nil, "-c", c.natsConfig())
	c.dispatcher = add("dispatcher", "dispatcher", []string{
		"NATS_URL=" + c.url, "DISPATCHER_HTTP_LISTEN=" + freeport.Address(t),
		"DISPATCHER_DB_TYPE=sqlite", "DISPATCHER_DB_PATH=" + filepath.Join(dir, "dispatcher.db"), "DISPATCHER_DATABASE_SYNCHRONOUS=full",
		"DISPATCHER_WORKER_MANAGEMENT_HEARTBEAT_INTERVAL=" + heartbeatInterval.String(),
		"DISPATCHER_WORKER_MANAGEMENT_HEARTBEAT_TIMEOUT=" + heartbeatTimeout.String(),
		"DISPATCHER_TASK_ASSIGNMENT_RETRY_BASE=1", "DISPATCHER_TASK_ASSIGNMENT_RETRY_DELAY=5",
	})
	for i, engine := range engines {
		name := fmt.Sprintf("w%d-%s", i+1, engine)
		files := filepath.Join(dir, name)
		n := &node{engine: engine, files: files}
		t.Cleanup(func() { n.killAria2c() }) // after the worker's own end
		n.program = add(name, "worker", []string{"NATS_URL=" + c.url}, "-name", name, "-dir", files,
			"-engine", engine, "-slots", strconv.Itoa(slots), "-allow-networks", "loopback")
		c.workers = append(c.workers, n)
	}
	c.startAll(t)
	return c
}

func (c *cluster) startAll(t *testing.T) {
	t.Helper()
	if err := c.writeNATSConfig(); err != nil {
		t.Fatal(err)
	}
	programs := []*program{c.server, c.dispatcher}
	for _, n := range c.workers {
		programs = append(programs, n.program)
	}
	for _, p := range programs {
		if err := p.start(); err != nil {
			t.Fatal(err)
		}
	}
	testbed.Eventually(t, "a connection to the NATS server", func() bool {
		var err error
		c.nc, err = nats.Connect(c.url, nats.MaxReconnects(-1), nats.ReconnectWait(100*time.Millisecond), nats.Timeout(5*time.Second))
		return err == nil
	})
	t.Cleanup(c.nc.Close)
	var err error
	if c.client, err = client.New(c.nc, clientName); err != nil {
		t.Fatal(err)
	}
}

// stopAll ends the programs as a service manager does.
func (c *cluster) stopAll() {
	for _, n := range c.workers {
		if err := n.stop(); err != nil {
			c.problems.add("%v", err)
		}
	}
	for _, p := range []*program{c.dispatcher, c.server} {
		if err := p.stop(); err != nil {
			c.problems.add("%v", err)
		}
	}
}

func (c *cluster) natsConfig() string { return filepath.Join(c.dir, "nats.conf") }

// writeNATSConfig writes a file that differs from the one before, so that a reload
// has something to do.
func (c *cluster) writeNATSConfig() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reloads++
	text := fmt.Sprintf("listen: %q\nmax_payload: %d\nping_interval: \"%ds\"\njetstream { store_dir: %q }\n",
		c.listen, c.payload, 20+c.reloads%2, filepath.Join(c.dir, "jetstream"))
	return os.WriteFile(c.natsConfig(), []byte(text), 0o600)
}

// reload has the NATS server read its configuration, with this max_payload.
func (c *cluster) reload(payload int) error {
	c.mu.Lock()
	c.payload = payload
	c.mu.Unlock()
	if err := c.writeNATSConfig(); err != nil {
		return err
	}
	return c.server.signal(syscall.SIGHUP)
}

// aria2c returns the process ids of those that work for the node's folder.
func (n *node) aria2c() (pids []int) {
	paths, _ := filepath.Glob("/proc/[0-9]*/cmdline") // the pattern is valid
	for _, path := range paths {
		line, err := os.ReadFile(path)
		if err != nil || !bytes.Contains(line, []byte("aria2c")) || !bytes.Contains(line, []byte("--conf-path="+n.files+"/")) {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path))); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// killAria2c kills every aria2c of the node and returns their number.
func (n *node) killAria2c() (killed int) {
	for _, pid := range n.aria2c() {
		if syscall.Kill(pid, syscall.SIGKILL) == nil {
			killed++
		}
	}
	return killed
}
