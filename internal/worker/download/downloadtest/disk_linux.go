package downloadtest

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/internal/worker/download"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// FullDisk has a new engine download onto a disk that is full: that task fails as
// this worker's own trouble, another task on another disk is not disturbed, and
// with space again the same task completes.
func FullDisk(t *testing.T, newEngine New) {
	testbed.OnASmallDisk(t, 8, func(t *testing.T, disk string) {
		filler := filepath.Join(disk, "filler")
		if err := os.WriteFile(filler, make([]byte, 5<<20), 0o600); err != nil {
			t.Fatal(err)
		}
		data := Data(4 << 20)
		var throttle Throttle
		throttle.Set(4 << 20)
		s := Serve(t, throttle.Slow(Content(data)))
		e := startEngine(t, newEngine)
		full, other := Job(t, "full", s.URL+"/file"), Job(t, "other", s.URL+"/file")
		full.Dir = filepath.Join(disk, "task")
		if err := os.Mkdir(full.Dir, 0o755); err != nil {
			t.Fatal(err)
		}
		Add(t, e, other)
		Add(t, e, full)
		if err := MustFail(t, e, "full"); err.Code != download.CodeDiskFull || err.Class != model.ClassWorker {
			t.Errorf("%+v", err)
		}
		MustComplete(t, e, other, data)
		if err := os.Remove(filler); err != nil {
			t.Fatal(err)
		}
		Remove(t, e, "full")
		Add(t, e, full)
		MustComplete(t, e, full, data)
	})
}
