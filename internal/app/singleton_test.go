package app

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"github.com/aria-cluster/dispatcher/internal/wire"
	"github.com/aria-cluster/dispatcher/pkg/bus"
)

// TestDaemon_OlderDispatcherEndsIt checks that a dispatcher that finds an older one
// ends with an error that names it.
func TestDaemon_OlderDispatcherEndsIt(t *testing.T) {
	d := newDaemon(t, testConfig(t)) // it has found no other dispatcher
	// Now the network is whole again, and there is another one.
	olderAnswers(t, d.Server().ClientURL())
	if err := d.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "another dispatcher (host-9, pid 1") {
		t.Errorf("Run: %v", err)
	}
}

// olderAnswers has an older dispatcher answer the requests of discovery from now on.
func olderAnswers(t *testing.T, url string) {
	t.Helper()
	nc, err := bus.Connect(t.Context(), bus.Options{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	older, err := json.Marshal(micro.Ping{Type: micro.PingResponseType, ServiceIdentity: micro.ServiceIdentity{
		Name: wire.ServiceName, ID: "a", Version: "1.0.0",
		Metadata: map[string]string{"prefix": "aria.v1", "dispatcher": "host-9, pid 1", "started": "2020-01-01T00:00:00Z"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := nc.Subscribe("$SRV.PING.aria-dispatcher", func(m *nats.Msg) { _ = m.Respond(older) }); err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
}
