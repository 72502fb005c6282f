package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/shirou/gopsutil/v4/disk"
	"github.com/shirou/gopsutil/v4/host"
	"github.com/shirou/gopsutil/v4/mem"

	"github.com/aria-cluster/dispatcher/internal/config"
	"github.com/aria-cluster/dispatcher/internal/freeport"
	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/internal/worker/download/downloadtest"
	"github.com/aria-cluster/dispatcher/pkg/bus/client"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// slowFile serves one file at a rate that can be changed.
func slowFile(t *testing.T, size int, rate int64) (*downloadtest.Server, *downloadtest.Throttle, []byte) {
	t.Helper()
	data := downloadtest.Data(size)
	throttle := &downloadtest.Throttle{}
	throttle.Set(rate)
	return downloadtest.Serve(t, throttle.Slow(downloadtest.Content(data))), throttle, data
}

// A new process in the place of a worker continues from its bytes.
func TestUpgrade_NewProcessContinuesFromBytes(t *testing.T) {
	for _, engine := range []string{"aria2", "direct"} {
		t.Run(engine, func(t *testing.T) {
			if engine == "aria2" {
				testbed.RequireBinary(t, "aria2c")
			}
			t.Parallel()
			s, throttle, data := slowFile(t, 4<<20, 2<<20)
			c := startCluster(t)
			n := c.startWorker("-engine", engine)
			c.submit(&model.TaskSpec{ID: "a", URL: s.URL + "/file.bin"})
			c.reached("a", 1<<20)
			throttle.Set(50 << 10) // it will not end before it is stopped
			n.Stop()
			if task := c.task("a"); task.Status != model.StatusPending || task.Failures+task.Losses > 0 {
				t.Errorf("after SIGTERM: %+v", task.TaskState)
			}
			throttle.Set(8 << 20)
			n.start()
			if task := c.status("a", model.StatusCompleted); task.Failures+task.Losses > 0 {
				t.Errorf("%+v", task.TaskState)
			}
			same(t, filepath.Join(n.dir, "a", "file.bin"), data)
			if sent := s.Sent.Load(); sent > int64(len(data))*11/10 {
				t.Errorf("the server sent %d bytes for a file of %d", sent, len(data))
			}
		})
	}
}

func same(t *testing.T, path string, data []byte) {
	t.Helper()
	if got, err := os.ReadFile(path); err != nil || string(got) != string(data) {
		t.Errorf("%s: %d bytes, want the %d that were served, %v", path, len(got), len(data), err)
	}
}

// A paused task keeps its bytes; those of a canceled one are removed.
func TestDrop_PauseKeepsBytesCancelRemoves(t *testing.T) {
	testbed.RequireBinary(t, "aria2c")
	t.Parallel()
	s, throttle, data := slowFile(t, 4<<20, 1<<20)
	c := startCluster(t)
	n := c.startWorker()
	c.submit(&model.TaskSpec{ID: "paused", URL: s.URL + "/file.bin"}, &model.TaskSpec{ID: "canceled", URL: s.URL + "/file.bin"})
	c.reached("paused", 3<<19)
	c.reached("canceled", 1<<20)
	throttle.Set(50 << 10) // neither ends before its drop
	if _, err := c.client.Cancel(t.Context(), "canceled"); err != nil {
		t.Fatal(err)
	}
	if _, err := c.client.Pause(t.Context(), "paused"); err != nil {
		t.Fatal(err)
	}
	parts := filepath.Join(n.dir, ".aria", "parts")
	testbed.Eventually(t, "only the paused task's bytes are there, and grow no more", func() bool {
		entries, err := os.ReadDir(parts)
		return err == nil && len(entries) == 1 && entries[0].Name() == "paused" && c.worker().UsedSlots == 0
	})
	before := s.Sent.Load()
	throttle.Set(8 << 20)
	if _, err := c.client.Resume(t.Context(), "paused"); err != nil {
		t.Fatal(err)
	}
	c.status("paused", model.StatusCompleted)
	same(t, filepath.Join(n.dir, "paused", "file.bin"), data)
	if sent := s.Sent.Load() - before; sent > int64(len(data))*3/4 {
		t.Errorf("%d bytes were sent for the rest of a file of %d", sent, len(data))
	}
	if _, err := os.Stat(filepath.Join(n.dir, "canceled")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the canceled task left: %v", err)
	}
}

// gate is a way to NATS that can be shut.
type gate struct {
	net.Listener
	to string

	mu    sync.Mutex
	shut  bool
	conns []net.Conn
}

func newGate(t *testing.T, url string) *gate {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := &gate{Listener: l, to: strings.TrimPrefix(url, "nats://")}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return // closed
			}
			g.pass(conn)
		}
	}()
	return g
}

func (g *gate) pass(conn net.Conn) {
	g.mu.Lock()
	defer g.mu.Unlock()
	far, err := net.Dial("tcp", g.to)
	if err != nil || g.shut {
		_ = conn.Close()
		return
	}
	g.conns = append(g.conns, conn, far)
	for _, pair := range [][2]net.Conn{{conn, far}, {far, conn}} {
		go func() {
			_, _ = io.Copy(pair[0], pair[1]) // its end is the end of both
			_ = pair[0].Close()
		}()
	}
}

// set shuts the gate, with all that is under way, or opens it.
func (g *gate) set(shut bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shut = shut
	for _, conn := range g.conns {
		_ = conn.Close() // it may have ended
	}
	g.conns = nil
}

// A worker without connection continues its downloads, and reports all of them when
// it reconnects.
func TestOffline_DownloadsContinueAndReportOnReconnect(t *testing.T) {
	testbed.RequireBinary(t, "aria2c")
	t.Parallel()
	s, _, data := slowFile(t, 2<<20, 500<<10)
	c := startCluster(t, func(cfg *config.Dispatcher) {
		cfg.WorkerManagement.HeartbeatTimeout = model.Duration(3 * time.Second)
		cfg.WorkerManagement.AutoRemoveOffline = false
	})
	way := newGate(t, c.url)
	c.url = "nats://" + way.Addr().String()
	n := c.startWorker()
	var specs []*model.TaskSpec
	for i := range 5 {
		specs = append(specs, &model.TaskSpec{ID: fmt.Sprintf("task-%d", i), URL: s.URL + "/file.bin"})
	}
	c.submit(specs...)
	testbed.Eventually(t, "all are being downloaded", func() bool { return c.count(model.StatusDownloading) == len(specs) })
	way.set(true)
	testbed.Eventually(t, "the worker is lost", func() bool { return c.worker().Status == model.WorkerOffline })
	testbed.Eventually(t, "all files are there all the same", func() bool {
		for _, spec := range specs {
			if _, err := os.Stat(filepath.Join(n.dir, spec.ID, "file.bin")); err != nil {
				return false
			}
		}
		return true
	})
	if done := c.count(model.StatusCompleted); done > 0 {
		t.Errorf("%d are completed, and nobody can have said so", done)
	}
	way.set(false)
	for _, spec := range specs {
		if task := c.status(spec.ID, model.StatusCompleted); task.Attempt != 1 {
			t.Errorf("%s has been given out again: attempt %d", spec.ID, task.Attempt)
		}
		same(t, filepath.Join(n.dir, spec.ID, "file.bin"), data)
	}
	if sent := s.Sent.Load(); sent > int64(len(data)*len(specs))*11/10 {
		t.Errorf("the server sent %d bytes for %d files of %d", sent, len(specs), len(data))
	}
}

// delete removes the files of its task only.
func TestDelete_RemovesFilesOfItsTaskOnly(t *testing.T) {
	t.Parallel()
	s, _, data := slowFile(t, 100_000, 0)
	c := startCluster(t)
	n := c.startWorker("-engine", "direct")
	c.submit(&model.TaskSpec{ID: "a", URL: s.URL + "/file.bin"}, &model.TaskSpec{ID: "b", URL: s.URL + "/file.bin"},
		&model.TaskSpec{ID: "c", URL: s.URL + "/file.bin", Options: model.Options{"out": {"named.bin"}}})
	for _, id := range []string{"a", "b", "c"} {
		c.status(id, model.StatusCompleted)
	}
	for _, id := range []string{"a", "c"} {
		if _, err := c.client.Delete(t.Context(), id, client.WithFiles()); err != nil {
			t.Fatal(err)
		}
	}
	testbed.Eventually(t, "only b's file is there", func() bool {
		entries, err := os.ReadDir(n.dir)
		return err == nil && len(entries) == 2 && entries[0].Name() == ".aria" && entries[1].Name() == "b"
	})
	same(t, filepath.Join(n.dir, "b", "file.bin"), data)
}

// A worker with too little free disk accepts no task.
func TestDiskFloor_WorkerAcceptsNoTask(t *testing.T) {
	t.Parallel()
	s, _, _ := slowFile(t, 1000, 0)
	c := startCluster(t)
	n := c.startWorker("-engine", "direct")
	testbed.Eventually(t, "it is known", func() bool { return c.worker() != nil })
	n.Stop()
	n.env = append(n.env, "WORKER_DISK_FLOOR=1000000G")
	n.start()
	testbed.Eventually(t, "it takes nothing new", func() bool { return c.worker().Status == model.WorkerDraining })
	c.submit(&model.TaskSpec{ID: "a", URL: s.URL + "/file"})
	n.Stop()
	if task := c.task("a"); task.Status != model.StatusPending {
		t.Errorf("%+v", task.TaskState)
	}
	n.env = n.env[:len(n.env)-1]
	n.start()
	c.status("a", model.StatusCompleted)
}

// The figures in a heartbeat are measured.
func TestHeartbeat_FiguresAreMeasured(t *testing.T) {
	t.Parallel()
	s, _, data := slowFile(t, 3<<20, 1<<20)
	c := startCluster(t)
	n := c.startWorker("-engine", "direct")
	c.submit(&model.TaskSpec{ID: "a", URL: s.URL + "/file"})
	c.status("a", model.StatusCompleted)
	testbed.Eventually(t, "it has counted", func() bool { return c.worker().PerformanceStats.CompletedTasks == 1 })
	w := c.worker()
	m, p := w.HealthMetrics, w.PerformanceStats
	usage, err := disk.Usage(n.dir)
	if err != nil {
		t.Fatal(err)
	}
	memory, err := mem.VirtualMemory()
	if err != nil {
		t.Fatal(err)
	}
	uptime, err := host.Uptime()
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ got, want, within float64 }{
		"disk_free":              {float64(m.DiskFree), float64(usage.Free), 2 << 30},
		"disk_space":             {float64(w.Capabilities.DiskSpace), float64(usage.Total), 0},
		"disk_usage":             {m.DiskUsage, usage.UsedPercent, 5},
		"memory_usage":           {m.MemoryUsage, memory.UsedPercent, 30},
		"uptime":                 {m.Uptime, float64(uptime), 60},
		"cpu_usage":              {m.CPUUsage, 50, 50},
		"total_bytes_downloaded": {float64(p.TotalBytesDownloaded), float64(len(data)), 0},
		"peak_download_speed":    {p.PeakDownloadSpeed, 1 << 20, 1 << 20},
		"avg_download_speed":     {p.AvgDownloadSpeed, 1 << 20, 1 << 20},
	} {
		if c.got < c.want-c.within || c.got > c.want+c.within || c.got == 0 && c.within != 50 {
			t.Errorf("%s is %v, want %v ± %v", name, c.got, c.want, c.within)
		}
	}
	if m.NetworkRX <= 0 || m.NetworkTX <= 0 || w.Hostname == "" || w.TotalSlots != 5 {
		t.Errorf("%+v of %s", m, w.Hostname)
	}
}

// A worker uses an aria2c that another program started.
func TestAria2_ExternalProcessIsUsed(t *testing.T) {
	testbed.RequireBinary(t, "aria2c")
	t.Parallel()
	s, _, data := slowFile(t, 1<<20, 4<<20)
	c := startCluster(t)
	_, port, err := net.SplitHostPort(freeport.Address(t))
	if err != nil {
		t.Fatal(err)
	}
	foreign := exec.Command("aria2c", "--no-conf", "--enable-rpc", "--rpc-listen-port="+port, "--rpc-secret=s3cret")
	foreign.Dir = t.TempDir()
	if err := foreign.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = foreign.Process.Kill() // it runs until then
		_ = foreign.Wait()
	})
	testbed.Eventually(t, "it listens", func() bool {
		conn, err := net.Dial("tcp", "127.0.0.1:"+port)
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	})
	secret := filepath.Join(c.dir, "secret")
	if err := os.WriteFile(secret, []byte("s3cret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	n := c.startWorkerWith([]string{"WORKER_ARIA2_URL=http://127.0.0.1:" + port + "/jsonrpc", "WORKER_ARIA2_SECRET_FILE=" + secret})
	c.submit(&model.TaskSpec{ID: "a", URL: s.URL + "/file.bin"})
	c.status("a", model.StatusCompleted)
	same(t, filepath.Join(n.dir, "a", "file.bin"), data)
	if len(n.aria2c()) > 0 {
		t.Error("it has an aria2c of its own besides")
	}
	if said := n.Out.String(); !strings.Contains(said, "somebody else runs") || strings.Contains(said, "s3cret") {
		t.Error("it does not say what it cannot give, or gives the secret away")
	}
}
