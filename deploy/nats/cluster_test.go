package nats_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/aria-cluster/dispatcher/internal/config"
	"github.com/aria-cluster/dispatcher/internal/freeport"
	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/internal/testbed/testnats"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// freePorts returns ports that are free at the moment.
func freePorts(t *testing.T, n int) []int {
	t.Helper()
	ports := make([]int, n)
	for i := range ports {
		_, port, err := net.SplitHostPort(freeport.Address(t))
		if err == nil {
			ports[i], err = strconv.Atoi(port)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return ports
}

// withCluster takes in the part of the configuration that makes servers a cluster,
// with these ports on this host.
func withCluster(t *testing.T, own int, ports []int) func(string) string {
	return func(text string) string {
		begin := strings.Index(text, "# cluster {\n")
		end := begin + strings.Index(text[begin:], "\n# }\n") + len("\n# }\n")
		part := strings.ReplaceAll("\n"+text[begin:end], "\n# ", "\n")
		part = strings.Replace(part, "0.0.0.0:6222", fmt.Sprintf("127.0.0.1:%d", own), 1)
		for i, port := range ports {
			part = strings.Replace(part, fmt.Sprintf("nats-%d:6222", i+1), fmt.Sprintf("127.0.0.1:%d", port), 1)
		}
		if !strings.Contains(part, fmt.Sprintf("tls://127.0.0.1:%d", ports[2])) {
			t.Fatalf("the part of the cluster is not as this test knows it:\n%s", part)
		}
		return text[:begin] + part + text[end:]
	}
}

// Three servers keep three replicas of each stream.
func TestCluster_ThreeServersReplicateStreams(t *testing.T) {
	ports := freePorts(t, 3)
	var servers []*server.Server
	for i, port := range ports {
		opts, err := configured(t, withCluster(t, port, ports))
		if err != nil {
			t.Fatal(err)
		}
		opts.ServerName = fmt.Sprintf("nats-%d", i+1)
		servers = append(servers, testnats.Start(t, opts))
	}
	testbed.Eventually(t, "a leader knows all three", func() bool {
		for _, s := range servers {
			if s.JetStreamIsLeader() && len(s.JetStreamClusterPeers()) == len(servers) {
				return true
			}
		}
		return false
	})
	url := servers[0].ClientURL()
	threefold := func(cfg *config.Dispatcher) { cfg.NATS.Replicas = 3 }
	d := startDispatcher(t, url, threefold)
	alice := connect(t, url, "alice")
	// Where the servers do not take a stream yet, the dispatcher tries again.
	testbed.Eventually(t, "the intake takes a submission", func() bool {
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		ack, err := alice.RequestWithContext(short, "aria.v1.intake.alice.submit", []byte(`{"id":"first","url":"http://h.example/f"}`))
		return err == nil && strings.Contains(string(ack.Data), "ARIA_INTAKE")
	})
	js, err := jetstream.New(connect(t, url, "dispatcher").Conn)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"ARIA_INTAKE", "ARIA_DLQ"} {
		stream, err := js.Stream(testbed.Context(t), name)
		if err != nil {
			t.Fatal(err)
		}
		if info := stream.CachedInfo(); info.Config.Replicas != 3 || len(info.Cluster.Replicas) != 2 {
			t.Errorf("%s: %d replicas, %+v", name, info.Config.Replicas, info.Cluster)
		}
	}
	testbed.Eventually(t, "the submission is a task", func() bool {
		code, _ := alice.ask(t, "aria.v1.req.task.alice.get", `{"id":"first"}`)
		return code == ""
	})

	// What was delivered and not decided on comes first to the next dispatcher.
	d.Stop()
	send := func(id string) {
		alice.ask(t, "aria.v1.intake.alice.submit", fmt.Sprintf(`{"id":%q,"url":"http://h.example/f"}`, id))
	}
	send("a")
	send("b")
	consumer, err := js.Consumer(testbed.Context(t), "ARIA_INTAKE", "dispatcher")
	if err != nil {
		t.Fatal(err)
	}
	if m, err := consumer.Next(); err != nil || !strings.Contains(string(m.Data()), `"a"`) {
		t.Fatalf("%v, %v", m, err)
	}
	send("c")
	startDispatcher(t, url, threefold)
	var page model.TaskPage
	testbed.Eventually(t, "all are tasks", func() bool {
		code, answer := alice.ask(t, "aria.v1.req.task.alice.list", `{"order":"created_at"}`)
		page = model.TaskPage{}
		return code == "" && json.Unmarshal(answer, &page) == nil && len(page.Tasks) == 3
	})
	for i, id := range []string{"a", "b", "c"} {
		if page.Tasks[i].ID != id {
			t.Errorf("%s came as number %d", page.Tasks[i].ID, i)
		}
	}
}
