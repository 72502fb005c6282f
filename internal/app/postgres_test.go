package app_test

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aria-cluster/dispatcher/internal/config"
	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/internal/testbed/testdaemon"
	"github.com/aria-cluster/dispatcher/internal/testbed/testpostgres"
	"github.com/aria-cluster/dispatcher/pkg/bus/client"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

func TestMain(m *testing.M) { testpostgres.Main(m) }

// onPostgres has a dispatcher use a database.
func onPostgres(dsn string) func(*config.Dispatcher) {
	return func(c *config.Dispatcher) { c.Database.Type, c.Database.DSN = "postgres", config.Secret(dsn) }
}

// breaker passes connections on to an address, unless it is open.
type breaker struct {
	mu    sync.Mutex
	open  bool
	conns []net.Conn

	stalled sync.RWMutex // locked: nothing passes, and nothing is closed
}

// stallable is a connection whose bytes wait while the breaker is stalled.
type stallable struct {
	io.Reader
	b *breaker
}

func (s stallable) Read(p []byte) (int, error) {
	n, err := s.Reader.Read(p)
	s.b.stalled.RLock()
	defer s.b.stalled.RUnlock()
	return n, err
}

// startBreaker returns a breaker before an address, and its own address.
func startBreaker(t *testing.T, to string) (*breaker, string) {
	b := &breaker{}
	return b, testbed.Listen(t, "127.0.0.1:0", func(c net.Conn) { b.serve(c, to) })
}

// serve passes one connection on.
func (b *breaker) serve(in net.Conn, to string) {
	b.mu.Lock()
	open := b.open
	b.mu.Unlock()
	if open {
		return
	}
	out, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	defer out.Close()
	b.mu.Lock()
	b.conns = append(b.conns, in, out)
	b.mu.Unlock()
	go func() {
		_, _ = io.Copy(out, stallable{in, b}) // it is cut off
		_ = out.Close()
	}()
	_, _ = io.Copy(in, stallable{out, b})
}

// set opens or closes it. Open, it cuts off what there is.
func (b *breaker) set(open bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.open = open
	for _, c := range b.conns {
		_ = c.Close() // the other side may have closed it
	}
	b.conns = nil
}

// While PostgreSQL cannot be reached, submits are refused with a sentence that says so, and
// reads of what is in memory continue, also after the lease would have ended. When it can be
// reached again, the dispatcher serves in the same term without a restart, and has every task
// that it acknowledged. The long form is TestSoakPostgres_Outage.
func TestPostgres_OutageRefusesWritesThenRecovers(t *testing.T) {
	t.Parallel()
	playOutage(t, 4*time.Second)
}

// The same with a lease that is renewed as seldom as the configuration allows.
func TestPostgres_OutageWithFewRenewals(t *testing.T) {
	t.Parallel()
	playOutage(t, 4*time.Second, func(c *config.Dispatcher) {
		c.Database.LeaderTTL, c.Database.LeaderRenew = model.Seconds(3), model.Seconds(0.75)
	})
}

// playOutage cuts PostgreSQL off for that time.
func playOutage(t *testing.T, outage time.Duration, configure ...func(*config.Dispatcher)) {
	server := testpostgres.Shared(t)
	gate, address := startBreaker(t, server.Address())
	dsn := strings.Replace(server.Database(t), server.Address(), address, 1)
	d := testdaemon.Start(t, append(configure, onPostgres(dsn))...)
	shop := d.Client(t, "shop")
	nc := d.Connect(t)
	operator, err := client.NewOperator(nc)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), outage+2*testbed.Patience)
	defer cancel()
	spec := func(id string) *model.TaskSpec { return &model.TaskSpec{ID: id, URL: "https://files.example/" + id} }
	if _, err := shop.Submit(ctx, spec("before")); err != nil {
		t.Fatal(err)
	}
	before, err := operator.Status(ctx)
	if err != nil {
		t.Fatal(err)
	}
	gate.set(true)
	// Without an id nothing is read before the commit, which fails.
	submit, err := json.Marshal(model.TaskSpec{URL: "https://files.example/x"})
	if err != nil {
		t.Fatal(err)
	}
	answer, err := nc.RequestWithContext(ctx, "aria.v1.req.task.shop.submit", submit)
	if err != nil || answer.Header.Get("Nats-Service-Error-Code") != "503" {
		t.Errorf("a commit without PostgreSQL is answered %v (%v)", answer, err)
	}
	asked := 0
	for began := time.Now(); time.Since(began) < outage && !t.Failed(); asked++ {
		_, err := shop.Submit(ctx, spec("during"))
		if model.CodeOf(err) != model.CodeUnavailable || !strings.Contains(err.Error(), "PostgreSQL") || strings.Contains(err.Error(), address) {
			t.Errorf("a submit without PostgreSQL for %v: %v", time.Since(began), err)
		}
		status, err := operator.Status(ctx)
		if err != nil || status.TotalTasks < 1 || status.Term != before.Term {
			t.Errorf("the status without PostgreSQL for %v: %+v, %v", time.Since(began), status, err)
		}
		<-time.After(100 * time.Millisecond)
	}
	gate.set(false)
	again := time.Now()
	testbed.Eventually(t, "submits are accepted again", func() bool {
		_, err := shop.Submit(ctx, spec("during"))
		return err == nil
	})
	t.Logf("in %v without PostgreSQL %d submits were refused and as many reads answered; a submit was acknowledged %v after its return",
		outage, asked, time.Since(again).Round(time.Millisecond))
	if after, err := operator.Status(ctx); err != nil || after.Term != before.Term {
		t.Errorf("after the outage: %+v, %v", after, err)
	}
	for _, id := range []string{"before", "during"} {
		if task, err := shop.Get(ctx, id); err != nil || task.ID != id {
			t.Errorf("get %s: %v, %v", id, task, err)
		}
	}
}
