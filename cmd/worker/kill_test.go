package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/internal/worker/download/downloadtest"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// Killed processes lose no task.
func TestKills_LoseNoTask(t *testing.T) {
	testbed.RequireBinary(t, "aria2c")
	t.Parallel()
	for name, kill := range victims {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			survive(t, kill, 3)
		})
	}
}

// victims are what is killed, by kill -9.
var victims = map[string]func(n *workerProcess){
	"aria2c":     func(n *workerProcess) { n.killAria2c() },
	"the worker": func(n *workerProcess) { n.Kill(); n.start() },
	"both":       func(n *workerProcess) { n.Kill(); n.killAria2c(); n.start() },
}

// survive kills again and again while 20 downloads are under way. In the end each file
// is whole, each task has one completed event, and the server sent little more than the
// files.
func survive(t *testing.T, kill func(*workerProcess), kills int) {
	const downloads, rate = 20, 400 << 10
	pause := func() time.Duration { return 500*time.Millisecond + rand.N(2*time.Second) }
	data := downloadtest.Data(rate * 3 * (kills + 2))
	sum := sha256.Sum256(data)
	var throttle downloadtest.Throttle
	throttle.Set(rate)
	s := downloadtest.Serve(t, throttle.Slow(downloadtest.Content(data)))
	c := startCluster(t)
	var specs []*model.TaskSpec
	for i := range downloads {
		id := fmt.Sprintf("task-%d", i)
		specs = append(specs, &model.TaskSpec{ID: id, URL: s.URL + "/" + id + "/file.bin"})
	}
	c.submit(specs...)
	n := c.startWorker("-slots", "20")
	testbed.Eventually(t, "all are being downloaded", func() bool { return c.count(model.StatusDownloading) == downloads })
	for range kills {
		<-time.After(pause()) // the moment is by chance
		if done := c.count(model.StatusCompleted); done > 0 {
			t.Fatalf("%d are completed too early: the kills would meet fewer", done)
		}
		kill(n)
	}
	throttle.Set(8 << 20)
	testbed.Within(t, 2*time.Minute, "all are completed", func() bool { return c.count(model.StatusCompleted) == downloads })
	for _, spec := range specs {
		if got := testbed.SHA256(t, filepath.Join(n.dir, spec.ID, "file.bin")); got != hex.EncodeToString(sum[:]) {
			t.Errorf("%s is not the file that was served", spec.ID)
		}
		if task := c.task(spec.ID); task.Failures > 0 || task.Losses > 0 {
			t.Errorf("%s: %d failures, %d losses", spec.ID, task.Failures, task.Losses)
		}
	}
	again := 100*float64(s.Sent.Load())/float64(downloads*len(data)) - 100
	t.Logf("%d kills, %d downloads of %d bytes: %.1f%% was fetched again", kills, downloads, len(data), again)
	if again > 10 {
		t.Errorf("%.1f%% was fetched again, want at most 10%%", again)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for id, times := range c.completed {
		if times != 1 {
			t.Errorf("%s was said to be completed %d times", id, times)
		}
	}
	if len(c.completed) != downloads {
		t.Errorf("%d tasks were said to be completed, want %d", len(c.completed), downloads)
	}
}
