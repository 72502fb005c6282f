package intake

import (
	"fmt"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/aria-cluster/dispatcher/internal/engine"
	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/internal/testbed/testbus"
	"github.com/aria-cluster/dispatcher/internal/wire"
)

// TestIntake_ContinuesAfterClosedConnection closes the connection of the intake again and
// again while submissions come in. Each is accepted, and the stream is empty in the end.
func TestIntake_ContinuesAfterClosedConnection(t *testing.T) {
	log, s := &testbed.Log{}, testbus.StartServer(t)
	nc := testbus.Connect(t, s.ClientURL())
	backend := &fakeBackend{}
	conn := testbus.Open(t, s.ClientURL())
	i := run(t, conn, backend, log.Logger())
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	const rounds, each = 4, 25
	ids := func() map[string]bool {
		ids := make(map[string]bool)
		for _, op := range backend.taken() {
			ids[op.(engine.Submit).Spec.ID] = true
		}
		return ids
	}
	for round := range rounds {
		old := conn.Current()
		for n := range each {
			if _, err := js.Publish(testbed.Context(t), wire.DefaultPrefix+".intake.shop.submit", fmt.Appendf(nil, `{"id":"t%d",%s}`, round*each+n, source)); err != nil {
				t.Fatal(err)
			}
			if n == each/2 {
				old.Close()
			}
		}
		testbed.Eventually(t, "all of the round are taken", func() bool { return len(ids()) == (round+1)*each })
	}
	testbed.Eventually(t, "all are acknowledged", func() bool {
		stream, err := js.Stream(testbed.Context(t), "ARIA_INTAKE")
		return err == nil && stream.CachedInfo().State.Msgs == 0
	})
	if text := log.String(); strings.Contains(text, "%!") {
		t.Errorf("the log has a format without its value: %s", text)
	}
	if n := len(i.advisories()); n != 2 || conn.Current().NumSubscriptions() > 8 {
		t.Errorf("%d subscriptions to advisories, %d in all", n, conn.Current().NumSubscriptions())
	}
}
