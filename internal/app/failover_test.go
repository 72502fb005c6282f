package app_test

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/aria-cluster/dispatcher/internal/freeport"
	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/internal/testbed/testnats"
	"github.com/aria-cluster/dispatcher/internal/testbed/testpostgres"
)

// failovers is how often what happens to the leader, and under which load.
type failovers struct {
	kills, suspends, stops int
	suspended              time.Duration
	rate                   int // submits a second
	slack                  int // factor of the limits: beside other tests the machine is slower
}

// The leader of two built dispatchers is killed, suspended and stopped under load. The
// standby answers. No acknowledged task is lost, none begins twice, and nothing that a suspended
// leader says afterwards is obeyed. The long form is TestSoakFailover: it runs alone, and requires
// an answer in less than 5 s after a kill, and in less than a second after SIGTERM.
func TestFailover_NothingLostNorBegunTwice(t *testing.T) {
	playFailovers(t, failovers{kills: 1, suspends: 1, stops: 1, suspended: 6 * time.Second, rate: 50, slack: 4})
}

func playFailovers(t *testing.T, f failovers) {
	dir := t.TempDir()
	if err := testbed.Build(dir, "../../cmd/dispatcher"); err != nil {
		t.Fatal(err)
	}
	s := testnats.Start(t, &server.Options{JetStream: true, StoreDir: t.TempDir()})
	p := &pair{T: t, binary: filepath.Join(dir, "dispatcher"), dsn: testpostgres.Database(t), nats: s.ClientURL()}
	p.start(0)
	p.start(1)
	p.standby(1 - p.leader())
	node := startNode(t, p.nats)
	load := startLoad(t, p.nats, f.rate, false)
	load.probe(t)
	for range f.kills {
		at, term := p.leader(), load.term(t)
		began := time.Now()
		p.signal(at, syscall.SIGKILL)
		load.took(t, "kill -9", began, term, 5*time.Second*time.Duration(f.slack))
		p.start(at)
		p.standby(at)
	}
	for range f.suspends {
		at, term := p.leader(), load.term(t)
		began := time.Now()
		p.signal(at, syscall.SIGSTOP)
		// Longer: NATS gives half of the requests to the suspended leader meanwhile, as
		// its connection is still there.
		load.took(t, "SIGSTOP", began, term, 10*time.Second*time.Duration(f.slack))
		<-time.After(f.suspended - time.Since(began))
		p.signal(at, syscall.SIGCONT)
		p.standby(at)
	}
	for range f.stops {
		at, term := p.leader(), load.term(t)
		began := time.Now()
		p.signal(at, syscall.SIGTERM)
		load.took(t, "SIGTERM", began, term, time.Second*time.Duration(f.slack))
		p.start(at)
		p.standby(at)
	}
	load.judge(t, node)
}

// pair is two dispatchers at one database.
type pair struct {
	*testing.T
	binary, dsn, nats string
	env               []string // more of it
	processes         [2]*exec.Cmd
	ended             [2]chan struct{}
	web               [2]string
}

func (p *pair) start(at int) {
	p.Helper()
	if p.ended[at] != nil {
		<-p.ended[at]
	}
	p.web[at] = freeport.Address(p)
	cmd := exec.Command(p.binary, "-http-listen", p.web[at])
	log, err := os.OpenFile(filepath.Join(p.ArtifactDir(), fmt.Sprintf("dispatcher-%d.log", at)), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		p.Fatal(err)
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Env = append([]string{
		"HOME=" + p.TempDir(), "DISPATCHER_DB_TYPE=postgres", "DISPATCHER_DB_DSN=" + p.dsn, "NATS_URL=" + p.nats,
		"DISPATCHER_HTTP_OPEN_ROLE=operator",
		"DISPATCHER_WORKER_MANAGEMENT_HEARTBEAT_INTERVAL=2", "DISPATCHER_WORKER_MANAGEMENT_HEARTBEAT_TIMEOUT=60",
	}, p.env...)
	if err := cmd.Start(); err != nil {
		p.Fatal(err)
	}
	ended := make(chan struct{})
	p.processes[at], p.ended[at] = cmd, ended
	go func() {
		_ = cmd.Wait() // it is killed, mostly
		close(ended)
	}()
	p.Cleanup(func() {
		_ = cmd.Process.Kill() // it has ended, or is suspended
		<-ended
	})
}

func (p *pair) signal(at int, s syscall.Signal) {
	p.Helper()
	if err := p.processes[at].Process.Signal(s); err != nil {
		p.Fatal(err)
	}
}

// ready reports whether a dispatcher is ready in that role.
func (p *pair) ready(at int, role string) bool {
	web := http.Client{Timeout: time.Second}
	res, err := web.Get("http://" + p.web[at] + "/readyz?role=" + role)
	if err != nil {
		return false
	}
	_ = res.Body.Close()
	return res.StatusCode == http.StatusOK
}

// leader waits for a leader.
func (p *pair) leader() (at int) {
	p.Helper()
	testbed.Eventually(p, "a dispatcher leads", func() bool {
		at = slices.IndexFunc([]int{0, 1}, func(i int) bool { return p.ready(i, "leader") })
		return at >= 0
	})
	return at
}

func (p *pair) standby(at int) {
	p.Helper()
	testbed.Eventually(p, "the other one stands by", func() bool { return p.ready(at, "standby") })
}
