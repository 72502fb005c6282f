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
// this worker's own trouble before its bytes are fetched, another task on another
// disk is not disturbed, and with space again the same task completes.
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
		if sent := s.Sent.Load(); sent > int64(len(data))*5/4 {
			t.Errorf("the server sent %d bytes, also of the file that has no space", sent)
		}
		if err := os.Remove(filler); err != nil {
			t.Fatal(err)
		}
		Remove(t, e, "full")
		Add(t, e, full)
		MustComplete(t, e, full, data)
	})
}

// SharedDisk has a new engine download two files onto a disk that has space for each and not for
// both: the second fails as this worker's own trouble before its bytes are fetched, the first
// completes, and the second does once the first is gone.
func SharedDisk(t *testing.T, newEngine New) {
	testbed.OnASmallDisk(t, 8, func(t *testing.T, disk string) {
		data := Data(5 << 20)
		var throttle Throttle
		throttle.Set(1 << 20)
		s := Serve(t, throttle.Slow(Content(data)))
		e := startEngine(t, newEngine)
		first, second := Job(t, "first", s.URL+"/file"), Job(t, "second", s.URL+"/file")
		for _, job := range []*download.Job{&first, &second} {
			job.Dir = filepath.Join(disk, job.Task.ID)
			if err := os.Mkdir(job.Dir, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		Add(t, e, first)
		Await(t, e, "first", Reached(2750<<10)) // a download claims no more than it has
		Add(t, e, second)
		if err := MustFail(t, e, "second"); err.Code != download.CodeDiskFull || err.Class != model.ClassWorker {
			t.Errorf("%+v", err)
		}
		throttle.Set(0)
		MustComplete(t, e, first, data)
		Remove(t, e, "first")
		Remove(t, e, "second")
		if err := os.RemoveAll(first.Dir); err != nil {
			t.Fatal(err)
		}
		Add(t, e, second)
		MustComplete(t, e, second, data)
	})
}
