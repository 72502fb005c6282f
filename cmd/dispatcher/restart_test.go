package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/aria-cluster/dispatcher/internal/freeport"
	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// buildNATS builds the server of the module that is embedded, as a program.
func buildNATS(t *testing.T) {
	t.Helper()
	if _, err := os.Stat(filepath.Join(binaries, "nats-server")); err == nil {
		return
	}
	if err := testbed.Build(binaries, "github.com/nats-io/nats-server/v2"); err != nil {
		t.Fatal(err)
	}
}

// promises is what was acknowledged, and to whom.
type promises struct {
	mu     sync.Mutex
	ids    []string
	failed int
}

// keep submits as fast as it is answered until stop, and notes what was.
func (p *promises) keep(stop <-chan struct{}, name string, submit func(id string) error) {
	for n := 0; ; n++ {
		select {
		case <-stop:
			return
		case <-time.After(2 * time.Millisecond): // the load
		}
		id := fmt.Sprintf("%s-%d", name, n)
		err := submit(id)
		p.mu.Lock()
		if err == nil {
			p.ids = append(p.ids, id)
		} else {
			p.failed++
		}
		p.mu.Unlock()
	}
}

func (p *promises) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.ids)
}

// A killed NATS server loses no acknowledged task.
func TestNATS_KilledServerLosesNoAcknowledgedTask(t *testing.T) {
	t.Parallel()
	buildNATS(t)
	dir, listen := t.TempDir(), freeport.Address(t)
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		t.Fatal(err)
	}
	conf := filepath.Join(dir, "nats.conf")
	text := fmt.Sprintf("listen: %q\njetstream { store_dir: %q, sync_interval: always }\n", net.JoinHostPort(host, port), filepath.Join(dir, "js"))
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	server := start(t, dir, nil, "nats-server", "-c", conf)
	files := serveFile(t, []byte("a small file"), 0)
	c := &cluster{t: t, dir: dir, natsURL: "nats://" + listen, workers: make(map[string]*testbed.Process)}
	c.env = []string{
		"NATS_URL=" + c.natsURL, "DISPATCHER_DB_TYPE=sqlite", "DISPATCHER_DB_PATH=" + filepath.Join(dir, "dispatcher.db"),
		"DISPATCHER_HTTP_LISTEN=" + freeport.Address(t), "DISPATCHER_WORKER_MANAGEMENT_HEARTBEAT_INTERVAL=500ms", "DISPATCHER_WORKER_MANAGEMENT_HEARTBEAT_TIMEOUT=3",
	}
	c.startDispatcher()
	c.startWorker("w1")
	c.nc = connect(t, c.natsURL)
	js, err := jetstream.New(c.nc)
	if err != nil {
		t.Fatal(err)
	}

	kept, stop := &promises{}, make(chan struct{})
	var load sync.WaitGroup
	load.Go(func() {
		kept.keep(stop, "asked", func(id string) error {
			a, err := ask(c.nc, "aria.v1.req.task.shop.submit", fmt.Sprintf(`{"id":%q,"url":%q}`, id, files.URL+"/"+id))
			if err == nil && a.code != "" {
				err = fmt.Errorf("%s %s", a.code, a.text)
			}
			return err
		})
	})
	load.Go(func() {
		kept.keep(stop, "sent", func(id string) error {
			ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
			defer cancel()
			_, err := js.Publish(ctx, "aria.v1.intake.shop.submit", fmt.Appendf(nil, `{"id":%q,"url":%q}`, id, files.URL+"/"+id), jetstream.WithMsgID(id))
			return err
		})
	})
	for range 3 {
		before := kept.count()
		testbed.Within(t, 30*time.Second, "both ways are used again", func() bool { return kept.count() >= before+100 })
		server.Kill()
		server = start(t, dir, nil, "nats-server", "-c", conf)
	}
	before := kept.count()
	testbed.Within(t, 30*time.Second, "both ways are used after the last restart", func() bool { return kept.count() >= before+100 })
	close(stop)
	load.Wait()
	testbed.Within(t, time.Minute, "all that was acknowledged is there", func() bool { return tasksOf(t, c.nc, kept.ids) == len(kept.ids) })
	a, err := ask(c.nc, "aria.v1.req.task.shop.submit", fmt.Sprintf(`{"id":"last","priority":"urgent","url":%q}`, files.URL+"/last"))
	if err != nil || a.code != "" {
		t.Fatalf("%+v, %v", a, err)
	}
	testbed.Within(t, time.Minute, "the worker is back, and works", func() bool {
		task := getTask(t, c.nc, "shop", "last")
		return task != nil && task.Status == model.StatusCompleted
	})
	t.Logf("%d submissions were acknowledged, %d were not, over three kills of the server", len(kept.ids), kept.failed)
	if kept.failed == 0 {
		t.Error("no submission failed: the kills hit nothing")
	}
	c.workers["w1"].Stop()
	c.dispatcher.Stop()
}

// tasksOf counts the ids that are tasks, a thousand in one request.
func tasksOf(t *testing.T, nc *nats.Conn, ids []string) (n int) {
	t.Helper()
	for len(ids) > 0 {
		part := ids[:min(len(ids), model.MaxBatch)]
		ids = ids[len(part):]
		n += tasksOfPart(t, nc, part)
	}
	return n
}

func tasksOfPart(t *testing.T, nc *nats.Conn, ids []string) (n int) {
	t.Helper()
	body := struct {
		IDs []string `json:"ids"`
	}{ids}
	b, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	a, err := ask(nc, "aria.v1.req.task.shop.get", string(b))
	if err != nil || a.code != "" {
		return 0 // it is asked again
	}
	var list struct{ Tasks []struct{ Task *model.Task } }
	if err := json.Unmarshal(a.body, &list); err != nil {
		t.Fatal(err)
	}
	for _, one := range list.Tasks {
		if one.Task != nil {
			n++
		}
	}
	return n
}
