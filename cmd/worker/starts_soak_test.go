//go:build soak

package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/aria-cluster/dispatcher/internal/config"
	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/internal/worker/download/downloadtest"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

const starts = 200

// TestSoakStart_Latency prints how long tasks take to their first status `downloading`, and
// fails if one in a hundred takes 300 ms or more: a wait for a timer shows as a peak at
// its interval. It needs an idle machine.
func TestSoakStart_Latency(t *testing.T) {
	throttle := &downloadtest.Throttle{}
	throttle.Set(1)
	s := downloadtest.Serve(t, throttle.Slow(downloadtest.Content(downloadtest.Data(1<<20))))
	c := startCluster(t, func(cfg *config.Dispatcher) {
		cfg.WorkerManagement.HeartbeatInterval = model.Duration(30 * time.Second)
	})
	began := make(chan time.Time, 10)
	if _, err := c.nc.Subscribe("aria.v1.evt.task.shop.*.downloading", func(*nats.Msg) { began <- time.Now() }); err != nil {
		t.Fatal(err)
	}
	submit := func(id string) { c.submit(&model.TaskSpec{ID: id, URL: s.URL + "/" + id}) }
	cancel := func(id string) {
		if _, err := c.client.Cancel(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}

	var waiting []time.Duration // from the worker's first log line
	for i := range starts {
		id := fmt.Sprint("waits-", i)
		submit(id)
		n := c.startWorker("-engine", "direct", "-slots", "1")
		testbed.Eventually(t, "the worker has started", func() bool { return strings.Contains(n.Out.String(), "the worker has started") })
		at := time.Now()
		waiting = append(waiting, max(testbed.Receive(t, began).Sub(at), 0))
		cancel(id)
		n.Stop()
	}
	histogram(t, "a task that waits when the worker starts", waiting)

	c.startWorker("-engine", "direct", "-slots", "1")
	var idle, freed, resumed []time.Duration
	for i := range starts {
		id := fmt.Sprint("idle-", i)
		at := time.Now()
		submit(id)
		idle = append(idle, testbed.Receive(t, began).Sub(at))
		if _, err := c.client.Pause(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		testbed.Eventually(t, "the slot is free", func() bool { return c.worker().UsedSlots == 0 })
		at = time.Now()
		if _, err := c.client.Resume(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		resumed = append(resumed, testbed.Receive(t, began).Sub(at))
		next := fmt.Sprint("next-", i)
		submit(next) // waits for the slot
		at = time.Now()
		cancel(id)
		freed = append(freed, testbed.Receive(t, began).Sub(at))
		cancel(next)
		testbed.Eventually(t, "the slot is free", func() bool { return c.worker().UsedSlots == 0 })
	}
	histogram(t, "submit to an idle worker", idle)
	histogram(t, "resume", resumed)
	histogram(t, "cancel of the task that has the slot", freed)
}

// histogram prints how long something took.
func histogram(t *testing.T, what string, took []time.Duration) {
	slices.Sort(took)
	bounds := []time.Duration{10, 20, 50, 100, 200, 300, 500, 1000, 2000, 5000, 10000}
	var b strings.Builder
	from := 0
	for _, bound := range bounds {
		to, _ := slices.BinarySearch(took, bound*time.Millisecond)
		fmt.Fprintf(&b, "  under %5d ms  %4d\n", bound, to-from)
		from = to
	}
	p99 := took[len(took)*99/100]
	t.Logf("%s: median %v, p99 %v, most %v\n%s", what, took[len(took)/2], p99, took[len(took)-1], &b)
	if p99 >= 300*time.Millisecond {
		t.Errorf("%s: p99 is %v", what, p99)
	}
}
