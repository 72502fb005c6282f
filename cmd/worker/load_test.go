package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"syscall"
	"testing"
	"time"

	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/internal/worker/download/downloadtest"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// Sixty-four downloads at once do not keep the worker busy: how much processor time that is
// depends on the machine, how often it wakes does not.
func TestLoad_SixtyFourDownloadsWakeSeldom(t *testing.T) {
	testbed.RequireBinary(t, "aria2c")
	const downloads, watch = 64, 5 * time.Second
	var throttle downloadtest.Throttle
	throttle.Set(100 << 10)
	s := downloadtest.Serve(t, throttle.Slow(downloadtest.Zeros(64<<20)))
	c := startCluster(t)
	var specs []*model.TaskSpec
	for i := range downloads {
		specs = append(specs, &model.TaskSpec{ID: fmt.Sprintf("task-%d", i), URL: fmt.Sprintf("%s/%d", s.URL, i)})
	}
	c.submit(specs...)
	n := c.startWorker("-slots", fmt.Sprint(downloads))
	testbed.Eventually(t, "all are being downloaded", func() bool { return c.count(model.StatusDownloading) == downloads })
	testbed.Within(t, 30*time.Second, "each has begun", func() bool { return s.Sent.Load() > downloads*400<<10 })
	woken, used := testbed.Wakeups(t, n.PID()), testbed.CPU(t, n.PID())
	<-time.After(watch) // the time over which is measured, not a wait for a thing
	woken, used = testbed.Wakeups(t, n.PID())-woken, testbed.CPU(t, n.PID())-used
	memory := testbed.Memory(t, n.PID())
	t.Logf("64 downloads: %.0f wake-ups a second, %.1f%% of a core, %d MB", float64(woken)/watch.Seconds(), 100*used.Seconds()/watch.Seconds(), memory>>20)
	// The server writes to each download 50 times a second. A program that polls its downloads
	// wakes far more often than for each of these.
	if limit := int64(2 * 50 * downloads * watch.Seconds()); woken > limit {
		t.Errorf("%d wake-ups in %v, want at most %d", woken, watch, limit)
	}
	if memory > 40<<20 {
		t.Errorf("%d MB of memory, want under 40", memory>>20)
	}
}

// Many small files leave no state on the worker.
func TestLoad_SmallFilesLeaveNoState(t *testing.T) {
	testbed.RequireBinary(t, "aria2c")
	t.Parallel()
	churn(t, 250)
}

// churn has a worker fetch so many small files. Between the first tenth and the
// end neither its memory nor its open files grow, and in the end its folder has
// the files and nothing besides.
func churn(t *testing.T, files int) {
	const size = 3000
	s := downloadtest.Serve(t, downloadtest.Content(downloadtest.Data(size)))
	c := startCluster(t)
	n := c.startWorker("-slots", "16")
	began := time.Now()
	fetch := func(from, to int) {
		var specs []*model.TaskSpec
		for i := from; i < to; i++ {
			specs = append(specs, &model.TaskSpec{ID: fmt.Sprintf("task-%d", i), URL: fmt.Sprintf("%s/%d", s.URL, i)})
		}
		c.submit(specs...)
		testbed.Within(t, time.Minute+time.Duration(to-from)*100*time.Millisecond, "all are completed", func() bool {
			return c.count(model.StatusCompleted) == to
		})
	}
	fetch(0, files/10)
	theirs := n.memoryOfAria2c()
	memory, descriptors, own, ended := testbed.Memory(t, n.PID()), n.descriptors(), ownFiles(t, n.dir), testbed.CPU(t, n.PID())
	fetch(files/10, files)
	t.Logf("%d files in %v: %d MB then %d MB, %d then %d descriptors, %.1f ms of processor time a file", files,
		time.Since(began).Round(time.Second), memory>>20, testbed.Memory(t, n.PID())>>20, descriptors, n.descriptors(),
		float64((testbed.CPU(t, n.PID())-ended).Milliseconds())/float64(files*9/10))
	if now := testbed.Memory(t, n.PID()); now > memory+8<<20 {
		t.Errorf("memory grew from %d to %d MB", memory>>20, now>>20)
	}
	if now := n.memoryOfAria2c(); now > theirs+16<<20 {
		t.Errorf("aria2c's memory grew from %d to %d MB", theirs>>20, now>>20)
	}
	// The guard's pipes are pooled: a few more or less say nothing. And the last
	// downloads' connections may still be open.
	testbed.Eventually(t, fmt.Sprintf("open files are about %d again", descriptors), func() bool { return n.descriptors() <= descriptors+32 })
	testbed.Eventually(t, fmt.Sprintf("the worker's own files are %d again", own), func() bool { return ownFiles(t, n.dir) <= own })
	c.mu.Lock()
	for id, times := range c.completed {
		if times != 1 {
			t.Errorf("%s was said to be completed %d times", id, times)
		}
	}
	c.mu.Unlock()
	const kept = 2 * 16 // of the connections that stay open for further downloads
	if goroutines := n.goroutines(); goroutines > 60+kept {
		t.Errorf("the worker has %d goroutines", goroutines)
	}
}

// ownFiles counts what a worker keeps for itself below its folder.
func ownFiles(t *testing.T, dir string) (n int) {
	t.Helper()
	err := filepath.WalkDir(filepath.Join(dir, ".aria"), func(_ string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			n++
		}
		if os.IsNotExist(err) {
			return nil // it went while we looked
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// goroutines ends the worker by a signal that has Go print each.
func (n *workerProcess) goroutines() int {
	n.t.Helper()
	before := len(n.Out.String())
	n.Signal(syscall.SIGQUIT)
	n.Wait(testbed.Patience)
	return len(regexp.MustCompile(`(?m)^goroutine \d+ .*\[`).FindAllString(n.Out.String()[before:], -1))
}
