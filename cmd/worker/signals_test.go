package main

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// stopSignals end a program in good order.
var stopSignals = map[string]os.Signal{"SIGTERM": syscall.SIGTERM, "SIGINT": os.Interrupt, "SIGHUP": syscall.SIGHUP}

// TestWorker_StopsWhileWaitingForNATS stops a worker that has not reached NATS yet:
// exit code 0 and one sentence, with each of the signals.
func TestWorker_StopsWhileWaitingForNATS(t *testing.T) {
	for name, signal := range stopSignals {
		t.Run(name, func(t *testing.T) {
			c := &cluster{t: t, dir: t.TempDir(), url: "nats://127.0.0.1:1"}
			n := c.startWorker("-engine", "direct")
			testbed.Eventually(t, "it waits", func() bool { return strings.Contains(n.Out.String(), "waiting for NATS") })
			n.Signal(signal)
			if code := n.Wait(testbed.Patience); code != 0 {
				t.Errorf("exit code %d, want 0", code)
			}
			wantLog(t, n, "stopped before NATS was reached")
		})
	}
}

// wantLog wants the sentence, and no error, in what the worker has logged.
func wantLog(t *testing.T, n *workerProcess, sentence string) {
	t.Helper()
	text := n.Out.String()
	if strings.Contains(text, "level=ERROR") || !strings.Contains(text, sentence) {
		t.Errorf("logged no %q, or an error:\n%s", sentence, text)
	}
}

// quickly is far less than the 10 s that a stop may take.
const quickly = 7 * time.Second

// TestWorker_LeavesAtOnceWithoutNATS stops a worker without a NATS server, or does not
// answer any more: it does not wait for either.
func TestWorker_LeavesAtOnceWithoutNATS(t *testing.T) {
	for name, signal := range stopSignals {
		t.Run("cut off, "+name, func(t *testing.T) {
			c := startCluster(t)
			way := newGate(t, c.url)
			c.url = "nats://" + way.Addr().String()
			n := c.startWorker("-engine", "direct")
			testbed.Eventually(t, "it is known", func() bool { return c.worker() != nil })
			way.set(true)
			testbed.Eventually(t, "it notices", func() bool { return strings.Contains(n.Out.String(), "lost NATS") })
			leaves(t, n, signal)
		})
	}
	t.Run("frozen", func(t *testing.T) {
		c := startCluster(t)
		way := newFreezer(t, c.url)
		c.url = "nats://" + way.Addr().String()
		n := c.startWorker("-engine", "direct")
		testbed.Eventually(t, "it is known", func() bool { return c.worker() != nil })
		way.frozen.Store(true)
		leaves(t, n, syscall.SIGTERM)
	})
}

func leaves(t *testing.T, n *workerProcess, signal os.Signal) {
	t.Helper()
	began := time.Now()
	n.Signal(signal)
	if code := n.Wait(testbed.Patience); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
	if took := time.Since(began); took > quickly {
		t.Errorf("the stop took %v", took)
	}
	wantLog(t, n, "NATS is not reachable; leaving without telling the dispatcher")
}

// freezer is a way to NATS that can stop to pass anything on.
type freezer struct {
	net.Listener
	frozen atomic.Bool
}

func newFreezer(t *testing.T, url string) *freezer {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &freezer{Listener: l}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return // closed
			}
			far, err := net.Dial("tcp", strings.TrimPrefix(url, "nats://"))
			if err != nil {
				_ = near.Close()
				continue
			}
			go f.pass(near, far)
			go f.pass(far, near)
		}
	}()
	return f
}

// pass copies; what comes while it is frozen is lost.
func (f *freezer) pass(to, from net.Conn) {
	defer to.Close()
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		if !f.frozen.Load() {
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
	}
}

// TestWorker_StopsOnSIGHUP ends a worker that serves as SIGTERM would.
func TestWorker_StopsOnSIGHUP(t *testing.T) {
	c := startCluster(t)
	n := c.startWorker("-engine", "direct", "-log-format", "json")
	testbed.Eventually(t, "it is connected", func() bool { return strings.Contains(n.Out.String(), `"msg":"connected"`) })
	n.Signal(syscall.SIGHUP)
	if code := n.Wait(testbed.Patience); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
	wantLog(t, n, `"msg":"the worker has stopped"`)
}

// TestWorker_LogsWhereFilesAre wants the URL and the path of a finished download in
// the log, and of a failed attempt what the dispatcher makes of it.
func TestWorker_LogsWhereFilesAre(t *testing.T) {
	s, _, _ := slowFile(t, 1<<10, 1<<20)
	c := startCluster(t)
	n := c.startWorker("-engine", "direct")
	c.submit(&model.TaskSpec{ID: "a", URL: s.URL + "/file.bin"}, &model.TaskSpec{ID: "b", URL: "http://127.0.0.1:1/none"})
	c.status("a", model.StatusCompleted)
	if w := c.worker(); w.Dir != n.dir {
		t.Errorf("the worker's record has dir %q, want %q", w.Dir, n.dir)
	}
	testbed.Eventually(t, "both ends are logged", func() bool {
		text := n.Out.String()
		return strings.Contains(text, `msg="download completed"`) && strings.Contains(text, `msg="attempt failed; it may be retried"`)
	})
	wantLog(t, n, "url="+s.URL+"/file.bin path="+filepath.Join(n.dir, "a", "file.bin")+" files=1 bytes=1024")
}
