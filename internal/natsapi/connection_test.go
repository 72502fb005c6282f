package natsapi

import (
	"runtime"
	"testing"

	"github.com/aria-cluster/dispatcher/internal/testbed"
)

// TestConnection_ReplacementsLeaveNoGoroutines checks that a replaced connection leaves
// nothing behind.
func TestConnection_ReplacementsLeaveNoGoroutines(t *testing.T) {
	w := serve(t, &fakeBackend{})
	replace := func() {
		nc := w.service.conn.Current()
		nc.Close()
		testbed.Eventually(t, "the connection is replaced", func() bool {
			return w.service.conn.Current() != nc && w.service.conn.Check() == nil
		})
	}
	replace()
	subscriptions := w.service.conn.Current().NumSubscriptions()
	goroutines := runtime.NumGoroutine()
	for range 5 {
		replace()
	}
	if n := w.service.conn.Current().NumSubscriptions(); n != subscriptions {
		t.Errorf("%d subscriptions, %d before", n, subscriptions)
	}
	testbed.Eventually(t, "no goroutine is left", func() bool { return runtime.NumGoroutine() <= goroutines })
	if got := w.ask(t, "query.status", ""); got.code != "" {
		t.Errorf("got %+v", got)
	}
}
