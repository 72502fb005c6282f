package downloadtest

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/aria-cluster/dispatcher/pkg/model"
	"github.com/aria-cluster/dispatcher/pkg/worker/download"
)

// mounted names a test's small disk in the environment of its second self.
const mounted = "ARIA_TEST_MOUNT_AT"

// OnASmallDisk runs the test's body in a process with a mount namespace of its own,
// in which dir is a file system of so many megabytes. Where namespaces cannot be
// had the test says so and is skipped.
func OnASmallDisk(t *testing.T, megabytes int, body func(t *testing.T, dir string)) {
	if dir := os.Getenv(mounted); dir != "" {
		if err := unix.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%dm", megabytes)); err != nil {
			t.Skipf("CANNOT MOUNT: %v", err)
		}
		body(t, dir)
		return
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.count=1", "-test.v") //nolint:gosec // the test itself
	cmd.Env = append(os.Environ(), mounted+"="+t.TempDir())
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) || bytes.Contains(out, []byte("CANNOT MOUNT")) {
		t.Skipf("SKIPPED, NO DISK OF ITS OWN CAN BE HAD HERE: %v %s", err, out)
	}
	if err != nil || !bytes.Contains(out, []byte("--- PASS: "+t.Name())) {
		t.Fatalf("%v\n%s", err, out)
	}
}

// FullDisk has a new engine download onto a disk that is full: that task fails as
// this worker's own trouble, another task on another disk is not disturbed, and
// with space again the same task completes.
func FullDisk(t *testing.T, newEngine New) {
	OnASmallDisk(t, 8, func(t *testing.T, disk string) {
		filler := filepath.Join(disk, "filler")
		if err := os.WriteFile(filler, make([]byte, 5<<20), 0o600); err != nil {
			t.Fatal(err)
		}
		data := Data(4 << 20)
		var throttle Throttle
		throttle.Set(4 << 20)
		s := Serve(t, throttle.Slow(Content(data)))
		e := newEngine(t, t.TempDir())
		t.Cleanup(func() {
			if err := e.Close(); err != nil {
				t.Error(err)
			}
		})
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
