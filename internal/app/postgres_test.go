package app_test

import (
	"encoding/json"
	"io"
	"net"
	"strings"
	"sync"
	"testing"

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
// reads of what is in memory continue. When it can be reached again, the dispatcher serves
// without a restart, and has every task that it acknowledged.
func TestPostgres_OutageRefusesWritesThenRecovers(t *testing.T) {
	server := testpostgres.Shared(t)
	gate, address := startBreaker(t, server.Address())
	dsn := strings.Replace(server.Database(t), server.Address(), address, 1)
	d := testdaemon.Start(t, onPostgres(dsn))
	shop := d.Client(t, "shop")
	operator, err := client.NewOperator(d.Connect(t))
	if err != nil {
		t.Fatal(err)
	}
	ctx := testbed.Context(t)
	spec := func(id string) *model.TaskSpec { return &model.TaskSpec{ID: id, URL: "https://files.example/" + id} }
	if _, err := shop.Submit(ctx, spec("before")); err != nil {
		t.Fatal(err)
	}
	gate.set(true)
	for range 2 {
		_, err := shop.Submit(ctx, spec("during"))
		if model.CodeOf(err) != model.CodeUnavailable || !strings.Contains(err.Error(), "PostgreSQL") {
			t.Errorf("a submit without PostgreSQL: %v", err)
		}
	}
	// Without an id nothing is read before the commit, which fails.
	submit, err := json.Marshal(model.TaskSpec{URL: "https://files.example/x"})
	if err != nil {
		t.Fatal(err)
	}
	answer, err := d.Connect(t).RequestWithContext(ctx, "aria.v1.req.task.shop.submit", submit)
	if err != nil || answer.Header.Get("Nats-Service-Error-Code") != "503" {
		t.Errorf("a commit without PostgreSQL is answered %v (%v)", answer, err)
	}
	if status, err := operator.Status(ctx); err != nil || status.TotalTasks < 1 {
		t.Errorf("status without PostgreSQL: %+v, %v", status, err)
	}
	gate.set(false)
	testbed.Eventually(t, "submits are accepted again", func() bool {
		_, err := shop.Submit(ctx, spec("during"))
		return err == nil
	})
	for _, id := range []string{"before", "during"} {
		if task, err := shop.Get(ctx, id); err != nil || task.ID != id {
			t.Errorf("get %s: %v, %v", id, task, err)
		}
	}
}
