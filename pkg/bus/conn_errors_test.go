package bus

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/internal/testbed/testnats"
)

// TestConnErrors_DeniedSubjectIsLogged checks that a permission error is logged with
// its subject.
func TestConnErrors_DeniedSubjectIsLogged(t *testing.T) {
	at := testnats.Start(t, &server.Options{Users: []*server.User{{
		Username: "w", Password: "pw", Permissions: &server.Permissions{
			Publish:   &server.SubjectPermission{Deny: []string{"a.>", "b.>"}},
			Subscribe: &server.SubjectPermission{Deny: []string{"c.>"}},
		},
	}}}).ClientURL()
	log := &testbed.Log{}
	nc, err := Connect(testbed.Context(t), Options{URL: at, User: "w", Password: "pw", Logger: log.Logger()})
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if err := nc.Publish("a.1.2", nil); err != nil {
		t.Fatal(err)
	}
	if err := nc.Publish("b.1.2", nil); err != nil {
		t.Fatal(err)
	}
	if _, err := nc.Subscribe("c.x", func(*nats.Msg) {}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"action=publish subject=a.1.2", "action=publish subject=b.1.2", "action=subscription subject=c.x"} {
		testbed.Eventually(t, want, func() bool { return strings.Contains(log.String(), want) })
	}
}

// TestConnErrors_SlowConsumerIsLogged checks that a slow subscription is logged with
// its subject.
func TestConnErrors_SlowConsumerIsLogged(t *testing.T) {
	s, log := startServer(t), &testbed.Log{}
	nc, err := Connect(testbed.Context(t), Options{URL: s.ClientURL(), Logger: log.Logger()})
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	release := make(chan struct{})
	sub, err := nc.Subscribe("slow.down", func(*nats.Msg) { <-release })
	if err != nil {
		t.Fatal(err)
	}
	defer close(release)
	if err := sub.SetPendingLimits(2, 1<<20); err != nil {
		t.Fatal(err)
	}
	for range 10 {
		if err := nc.Publish("slow.down", nil); err != nil {
			t.Fatal(err)
		}
	}
	testbed.Eventually(t, "it is told", func() bool {
		return strings.Contains(log.String(), "messages were dropped") && strings.Contains(log.String(), "subject=slow.down")
	})
}

// A server of a cluster that is to be stopped says so, and lets its connections go
// one by one: they go to another server, with their subscriptions.
func TestConnect_LameDuckServerIsLeft(t *testing.T) {
	start := func(routes ...*url.URL) *server.Server {
		return testnats.Start(t, &server.Options{
			Cluster: server.ClusterOpts{Name: "lab", Host: "127.0.0.1", Port: server.RANDOM_PORT}, Routes: routes,
			LameDuckGracePeriod: time.Millisecond, LameDuckDuration: 200 * time.Millisecond,
		})
	}
	old := start()
	other := start(&url.URL{Scheme: "nats", Host: old.ClusterAddr().String()})
	testbed.Eventually(t, "the servers are a cluster", func() bool { return old.NumRoutes() > 0 && other.NumRoutes() > 0 })
	log := &testbed.Log{}
	nc, err := Connect(testbed.Context(t), Options{URL: old.ClientURL(), Logger: log.Logger()}) // it learns of the other one
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if _, err := nc.Subscribe("echo", func(m *nats.Msg) { _ = m.Respond(m.Data) }); err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	asker, err := Connect(testbed.Context(t), Options{URL: other.ClientURL()})
	if err != nil {
		t.Fatal(err)
	}
	defer asker.Close()
	go old.LameDuckShutdown()
	testbed.Eventually(t, "it is told", func() bool { return strings.Contains(log.String(), "is going down") })
	testbed.Eventually(t, "the connection is at the other server", func() bool {
		return nc.IsConnected() && nc.ConnectedServerId() == other.ID()
	})
	testbed.Eventually(t, "who asks the other server is answered", func() bool {
		m, err := asker.Request("echo", []byte("x"), time.Second)
		return err == nil && string(m.Data) == "x"
	})
	if err := checkConn(nc); err != nil {
		t.Error(err)
	}
}

// TestConnErrors_NumberOfThrottlesIsBounded checks that the number of throttles has a
// limit.
func TestConnErrors_NumberOfThrottlesIsBounded(t *testing.T) {
	log := &testbed.Log{}
	c := newConnErrors(log.Logger())
	for n := range 10_000 {
		c.warn(&nats.Subscription{Subject: fmt.Sprintf("x%d.y", n)}, nats.ErrMaxPayload)
		c.warn(&nats.Subscription{Subject: fmt.Sprintf("a.b.c.d.%d", n)}, nats.ErrMaxPayload) // one place
	}
	if n := strings.Count(log.String(), "\n"); n != maxThrottles+1 || len(c.throttles) != maxThrottles {
		t.Errorf("%d lines of %d kinds", n, len(c.throttles))
	}
}
