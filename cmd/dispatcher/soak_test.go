//go:build soak

package main

import (
	"fmt"
	"testing"
	"time"

	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// soakKills is how many processes are killed, one each second and a half.
const soakKills = 60

// TestSoakCluster_KillsLoseNoTask kills dispatcher and workers in turn, with
// kill -9, while tasks are submitted without a pause. In the end every task that
// was acknowledged is completed, once, and its file is whole.
func TestSoakCluster_KillsLoseNoTask(t *testing.T) {
	files := serveFile(t, make([]byte, 100_000), 200_000)
	c := startCluster(t, false, "w1", "w2", "w3")
	ended := c.countEnds()
	stop, submitted := make(chan struct{}), make(chan []string)
	go func() {
		var ids []string
		defer func() { submitted <- ids }()
		for {
			select {
			case <-stop:
				return
			default:
			}
			id := fmt.Sprintf("task-%d", len(ids))
			a, err := ask(c.nc, "aria.v1.req.task.shop.submit", fmt.Sprintf(`{"id":%q,"url":%q}`, id, files.URL+"/"+id))
			if err == nil && a.code == "" {
				ids = append(ids, id) // acknowledged
			}
			<-time.After(30 * time.Millisecond) // the load, about what the workers can do
		}
	}()
	begin := time.Now()
	for kill := range soakKills {
		<-time.After(1500 * time.Millisecond) // the rhythm of the kills
		victim := kill % 4
		if victim == 0 {
			c.dispatcher.Kill()
			c.startDispatcher()
			continue
		}
		name := fmt.Sprintf("w%d", victim)
		c.workers[name].Kill()
		c.startWorker(name)
	}
	close(stop)
	ids := <-submitted
	testbed.Within(t, 10*time.Minute, "all completed", func() bool { return c.byStatus(ids)[model.StatusCompleted] == len(ids) })
	again := 0
	for id, task := range c.completed(ids) {
		if task.Result.TotalLength != int64(len(files.data)) {
			t.Errorf("%s has %d bytes", id, task.Result.TotalLength)
		}
		if task.Attempt > 1 {
			again++
		}
	}
	ended.mu.Lock()
	defer ended.mu.Unlock()
	for id, n := range ended.n {
		if n > 1 {
			t.Errorf("%s was said to be completed %d times", id, n)
		}
	}
	t.Logf("%d kills, %d tasks acknowledged, all completed once, %d of them after another attempt, in %v",
		soakKills, len(ids), again, time.Since(begin).Round(time.Second))
}
