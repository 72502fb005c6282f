package worker

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aria-cluster/dispatcher/internal/worker/download"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// Under the disk floor tasks pause and none is taken. Afterwards all continue.
func TestDiskFloor_PausesAndResumesTasks(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var space atomic.Int64
		space.Store(1000)
		films := t.TempDir()
		n := start(t, t.TempDir(), func(c *Config, n *node) {
			c.DiskFloor, c.Folders = 800, map[string]string{"films": films}
			n.free = func(_ context.Context, path string) int64 {
				if path == films {
					return 5000
				}
				return space.Load()
			}
		})
		elsewhere := assignment("elsewhere", 1)
		elsewhere.Task.Folder = "films"
		n.give(assignment("a", 1), elsewhere)
		n.engine.set("a", download.State{Completed: 5, Total: 20, Speed: 5})
		n.pass(2 * time.Second)
		write(t, n.engine.dir("a"), "bytes", "12345")

		space.Store(700)
		n.pass(3 * time.Second)
		same(t, "the engine has", n.engine.has(), []string{"elsewhere"})
		r := n.link.lastReport("a")
		same(t, "said", []any{r.Status, r.CompletedLength, r.DownloadSpeed}, []any{model.ReportPaused, 5, 0})
		h := n.link.lastBeat()
		same(t, "the worker is", h.State, model.StateDraining)
		same(t, "because", h.StateReason, fmt.Sprintf("the disk of %s has less than %d bytes free (worker.disk_floor)", n.dir, n.cfg.DiskFloor))
		same(t, "tasks", len(h.Tasks), 2)
		n.give(assignment("b", 1))
		if r := n.link.lastReport("b"); r.Status != model.ReportRejected || r.Error.Class != model.ClassWorker || !strings.Contains(r.Error.Message, "disk_floor") {
			t.Errorf("a new task: %+v, %+v", r, r.Error)
		}

		space.Store(850) // above the floor, but not by an eighth
		n.pass(5 * time.Second)
		same(t, "the engine has", n.engine.has(), []string{"elsewhere"})

		space.Store(950)
		n.pass(3 * time.Second)
		same(t, "the engine has", n.engine.has(), []string{"a", "elsewhere"})
		same(t, "the worker is", n.link.lastBeat().State, model.StateReady)
		n.engine.finish("a", map[string]string{"bytes": "1234567"})
		n.pass(2 * time.Second)
		same(t, "reports", n.link.lastReport("a").Status, model.ReportCompleted)
	})
}

// A paused task can be dropped, and a disk that cannot be measured pauses nothing.
func TestDiskFloor_PausedTaskCanBeDropped(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var space atomic.Int64
		space.Store(-1)
		n := start(t, t.TempDir(), func(c *Config, n *node) {
			c.DiskFloor = 800
			n.free = func(context.Context, string) int64 { return space.Load() }
		})
		n.give(assignment("a", 1))
		n.pass(2 * time.Second)
		same(t, "the engine has", n.engine.has(), []string{"a"})
		space.Store(0)
		n.pass(2 * time.Second)
		same(t, "the engine has", n.engine.has(), nil)
		n.take("a", 1, model.DropCanceled)
		n.pass(2 * time.Second)
		same(t, "the journal has", n.journaled(), nil)
		same(t, "parts", n.parts(), nil)
	})
}

// The free space of the disk is measured.
func TestFreeSpace_IsMeasured(t *testing.T) {
	if free := freeSpace(t.Context(), t.TempDir()); free <= 0 {
		t.Errorf("%d bytes are free", free)
	}
	if free := freeSpace(t.Context(), "/nonexistent"); free != -1 {
		t.Errorf("%d bytes are free where nothing is", free)
	}
}
