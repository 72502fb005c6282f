//go:build soak

package main

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/aria-cluster/dispatcher/internal/freeport"
	"github.com/aria-cluster/dispatcher/internal/testbed"
)

const (
	floodWindow  = 10_000 // requests that the flooder has under way
	floodRate    = 500    // limits.client_rate
	floodClients = 2000   // connections, each with one request a second
	floodTime    = 20 * time.Second
	floodP99     = 50 * time.Millisecond
	floodMemory  = 400 << 20 // of the dispatcher with its embedded NATS server
)

// flooderURL, where set, makes this process the flooder.
const flooderURL = "ARIA_TEST_FLOOD"

// TestSoakLimits_FloodingClientDelaysNoOther has 2,000 clients ask once a second
// each, first alone, then beside one that sends as fast as it is answered.
func TestSoakLimits_FloodingClientDelaysNoOther(t *testing.T) {
	if url := os.Getenv(flooderURL); url != "" {
		flood(t, url)
		return
	}
	address := freeport.Address(t)
	d := start(t, t.TempDir(), []string{
		"DISPATCHER_DB_TYPE=sqlite", "DISPATCHER_NATS_LISTEN=" + address, "DISPATCHER_HTTP_LISTEN=127.0.0.1:0",
		"DISPATCHER_LIMITS_CLIENT_RATE=" + strconv.Itoa(floodRate),
	}, "dispatcher")
	url := "nats://" + address
	clients := make([]*nats.Conn, floodClients)
	clients[0] = connect(t, url)
	testbed.Eventually(t, "the dispatcher serves", func() bool {
		_, err := ask(clients[0], "aria.v1.req.query.status", "")
		return err == nil
	})
	for i := 1; i < floodClients; i++ {
		clients[i] = connect(t, url)
	}
	alone := askForAWhile(clients)
	t.Logf("alone:             %v, memory %d MB", alone, testbed.Memory(t, d.PID())>>20)

	flooder := exec.Command(os.Args[0], "-test.run", "^"+t.Name()+"$", "-test.v")
	flooder.Env = append(os.Environ(), flooderURL+"="+url)
	flood := testbed.Start(t, flooder)
	flooded := askForAWhile(clients)
	memory := testbed.Memory(t, d.PID())
	if code := flood.Wait(time.Minute); code != 0 {
		t.Errorf("the flooder ended with %d", code)
	}
	t.Logf("beside the flood:  %v, memory %d MB", flooded, memory>>20)
	t.Logf("the flooder: %s", flood.Out)
	if flooded.failed > 0 || flooded.p99 > floodP99 {
		t.Errorf("the others were delayed: %v", flooded)
	}
	if memory > floodMemory {
		t.Errorf("the dispatcher took %d MB", memory>>20)
	}
	if text := flood.Out.String(); !strings.Contains(text, "429:") && !strings.Contains(text, "503:") {
		t.Error("the flooder was never told to wait")
	}
}

// latencies is what many requests took.
type latencies struct {
	requests, failed int
	p50, p99, max    time.Duration
	middle           time.Duration // p99 of the middle one of the seconds, ordered by theirs
}

func (l latencies) String() string {
	ms := func(d time.Duration) string { return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond)) }
	return fmt.Sprintf("%d requests, %d failed, p50 %s, p99 %s, max %s, p99 of the middle second %s",
		l.requests, l.failed, ms(l.p50), ms(l.p99), ms(l.max), ms(l.middle))
}

// at returns a quantile; it orders the list.
func at(list []time.Duration, q float64) time.Duration {
	slices.Sort(list)
	return list[int(q*float64(len(list)-1))]
}

// askForAWhile has each client submit once a second, spread over the second.
func askForAWhile(clients []*nats.Conn) latencies {
	var mu sync.Mutex
	var all []time.Duration
	seconds := make(map[int][]time.Duration)
	failed := 0
	var group sync.WaitGroup
	start := time.Now()
	for i, nc := range clients {
		group.Go(func() {
			next := start.Add(time.Duration(i) * time.Second / floodClients)
			for ; next.Before(start.Add(floodTime)); next = next.Add(time.Second) {
				<-time.After(time.Until(next)) // the rhythm of this client
				begin := time.Now()
				a, err := ask(nc, fmt.Sprintf("aria.v1.req.task.client-%d.submit", i), `{"url":"http://h.example/f"}`)
				took := time.Since(begin)
				mu.Lock()
				all = append(all, took)
				second := int(begin.Sub(start) / time.Second)
				seconds[second] = append(seconds[second], took)
				if err != nil || a.code != "" {
					failed++
				}
				mu.Unlock()
			}
		})
	}
	group.Wait()
	var each []time.Duration
	for _, list := range seconds {
		each = append(each, at(list, 0.99))
	}
	return latencies{len(all), failed, at(all, 0.5), at(all, 0.99), at(all, 1), at(each, 0.5)}
}

// flood sends submits for a while as fast as they are answered, with floodWindow
// of them under way, and counts the answers.
func flood(t *testing.T, url string) {
	nc := connect(t, url)
	inbox := nc.NewInbox()
	counts := make(map[string]int)
	window := make(chan struct{}, floodWindow)
	sub, err := nc.Subscribe(inbox, func(m *nats.Msg) {
		counts[m.Header.Get("Nats-Service-Error-Code")+":"]++
		<-window
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := sub.SetPendingLimits(-1, -1); err != nil {
		t.Fatal(err)
	}
	sent := 0
	for end := time.Now().Add(floodTime - time.Second); time.Now().Before(end); sent++ {
		window <- struct{}{}
		if err := nc.PublishRequest("aria.v1.req.task.flooder.submit", inbox, []byte(`{"url":"http://h.example/f"}`)); err != nil {
			t.Fatal(err)
		}
	}
	testbed.Eventually(t, "all are answered", func() bool { return len(window) == 0 })
	t.Logf("sent %d, answered %v", sent, counts)
}
