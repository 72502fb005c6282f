package app_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/aria-cluster/dispatcher/internal/freeport"
	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/internal/testbed/testnats"
	"github.com/aria-cluster/dispatcher/internal/testbed/testpostgres"
	"github.com/aria-cluster/dispatcher/pkg/bus"
	"github.com/aria-cluster/dispatcher/pkg/bus/client"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// failovers is how often what happens to the leader, and under which load.
type failovers struct {
	kills, suspends, stops int
	suspended              time.Duration
	rate                   int // submits a second
}

// The leader of two built dispatchers is killed, suspended and stopped under load. The
// standby answers in less than 5 s after a kill, and in less than a second after SIGTERM.
// No acknowledged task is lost, none begins twice, and nothing that a suspended leader
// says afterwards is obeyed. The long form is TestSoakFailover.
func TestFailover_NothingLostNorBegunTwice(t *testing.T) {
	playFailovers(t, failovers{kills: 1, suspends: 1, stops: 1, suspended: 6 * time.Second, rate: 50})
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
	first := p.leader()
	node := startNode(t, p.nats)
	load := startLoad(t, p.nats, f.rate)
	load.probe(t)
	for range f.kills {
		at := p.leader()
		began := time.Now()
		p.signal(at, syscall.SIGKILL)
		p.took("kill -9", began, load.probe(t), 5*time.Second)
		p.start(at)
		p.standby(at)
	}
	for range f.suspends {
		at := p.leader()
		began := time.Now()
		p.signal(at, syscall.SIGSTOP)
		p.took("SIGSTOP", began, load.probe(t), 5*time.Second)
		<-time.After(f.suspended - time.Since(began))
		p.signal(at, syscall.SIGCONT)
		p.standby(at)
	}
	for range f.stops {
		at := p.leader()
		began := time.Now()
		p.signal(at, syscall.SIGTERM)
		<-p.ended[at] // until then it answers
		p.took("SIGTERM", began, load.probe(t), time.Second)
		p.start(at)
		p.standby(at)
	}
	ids := load.stop()
	operator, err := client.NewOperator(connect(t, p.nats))
	if err != nil {
		t.Fatal(err)
	}
	var status *model.ClusterStatus
	testbed.Eventually(t, "every task is completed", func() bool {
		status, err = operator.Status(testbed.Context(t))
		return err == nil && status.TasksByStatus[model.StatusCompleted] == status.TotalTasks && status.TotalTasks >= int64(len(ids))
	})
	node.check(ids)
	t.Logf("%d submits were acknowledged, %d tasks completed in %d terms from %d on; the worker ignored %d messages of a deposed leader",
		len(ids), status.TotalTasks, f.kills+f.suspends+f.stops+1, first, node.ignored.Load())
}

// pair is two dispatchers at one database.
type pair struct {
	*testing.T
	binary, dsn, nats string
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
	cmd.Env = []string{
		"HOME=" + p.TempDir(), "DISPATCHER_DB_TYPE=postgres", "DISPATCHER_DB_DSN=" + p.dsn, "NATS_URL=" + p.nats,
		"DISPATCHER_HTTP_OPEN_ROLE=operator",
		"DISPATCHER_WORKER_MANAGEMENT_HEARTBEAT_INTERVAL=2", "DISPATCHER_WORKER_MANAGEMENT_HEARTBEAT_TIMEOUT=60",
	}
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

// took requires that an answer came in time.
func (p *pair) took(what string, began, answered time.Time, limit time.Duration) {
	p.Helper()
	took := answered.Sub(began)
	p.Logf("%s: answered after %v", what, took.Round(time.Millisecond))
	if took > limit {
		p.Errorf("%s: answered after %v, more than %v", what, took, limit)
	}
}

func connect(t *testing.T, url string) *nats.Conn {
	t.Helper()
	nc, err := bus.Connect(testbed.Context(t), bus.Options{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

// load is clients that submit, each task until it is acknowledged.
type load struct {
	client *client.Client
	cancel context.CancelFunc
	ended  sync.WaitGroup
	probes atomic.Int64

	mu    sync.Mutex
	acked []string
}

func startLoad(t *testing.T, url string, rate int) *load {
	t.Helper()
	c, err := client.New(connect(t, url), "load")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	l := &load{client: c, cancel: cancel}
	l.ended.Go(func() {
		tick := time.NewTicker(time.Second / time.Duration(rate))
		defer tick.Stop()
		for n := 0; ctx.Err() == nil; n++ {
			l.ended.Go(func() { l.submit(fmt.Sprint("load-", n), 2*time.Second) })
			select {
			case <-ctx.Done():
			case <-tick.C:
			}
		}
	})
	t.Cleanup(func() { l.stop() })
	return l
}

// submit repeats a submit until it is acknowledged, and returns when that was.
func (l *load) submit(id string, patience time.Duration) time.Time {
	for {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		_, err := l.client.Submit(ctx, &model.TaskSpec{ID: id, URL: "https://files.example/" + id})
		cancel()
		if err == nil {
			l.mu.Lock()
			l.acked = append(l.acked, id)
			l.mu.Unlock()
			return time.Now()
		}
		<-time.After(20 * time.Millisecond)
	}
}

// probe submits a task, and returns when it was acknowledged.
func (l *load) probe(t *testing.T) time.Time {
	t.Helper()
	return l.submit(fmt.Sprint("probe-", l.probes.Add(1)), 500*time.Millisecond)
}

// stop ends the load and returns the acknowledged ids.
func (l *load) stop() []string {
	l.cancel()
	l.ended.Wait()
	return l.acked
}
