package bus

import (
	"fmt"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/internal/testbed/testnats"
)

func TestWhatIsNotPermittedIsLoggedWithItsSubject(t *testing.T) {
	url := testnats.Start(t, &server.Options{Users: []*server.User{{
		Username: "w", Password: "pw", Permissions: &server.Permissions{
			Publish:   &server.SubjectPermission{Deny: []string{"a.>", "b.>"}},
			Subscribe: &server.SubjectPermission{Deny: []string{"c.>"}},
		},
	}}}).ClientURL()
	log := &testbed.Log{}
	nc, err := Connect(testbed.Context(t), Options{URL: url, User: "w", Password: "pw", Logger: log.Logger()})
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

func TestASlowConsumerIsLoggedWithItsSubject(t *testing.T) {
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

func TestAServerThatGoesDownIsAnnounced(t *testing.T) {
	s, log := startServer(t), &testbed.Log{}
	nc, err := Connect(testbed.Context(t), Options{URL: s.ClientURL(), Logger: log.Logger()})
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	go s.nats.LameDuckShutdown()
	testbed.Eventually(t, "it is told", func() bool { return strings.Contains(log.String(), "is going down") })
}

func TestTheKindsOfErrorsThatAreToldApartAreBounded(t *testing.T) {
	log := &testbed.Log{}
	c := newConnErrors(log.Logger())
	for n := range 10_000 {
		c.warn(&nats.Subscription{Subject: fmt.Sprintf("x%d.y", n)}, nats.ErrMaxPayload)
		c.warn(&nats.Subscription{Subject: fmt.Sprintf("a.b.c.d.%d", n)}, nats.ErrMaxPayload) // one place
	}
	if n := strings.Count(log.String(), "\n"); n != maxSpoken+1 || len(c.spoken) != maxSpoken {
		t.Errorf("%d lines of %d kinds", n, len(c.spoken))
	}
}
