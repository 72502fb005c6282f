package testbed

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// mounted names a test's small disk in the environment of its second self.
const mounted = "ARIA_TEST_MOUNT_AT"

const noDisk = "NOT TESTED: no disk of its own can be had here (user namespaces and mounts are forbidden)"

// OnASmallDisk runs a test's body in a process with a mount namespace of its own, in
// which dir is a file system of so many megabytes. Where that is forbidden, as in most
// containers, the test prints this and is skipped, also with ARIA_TEST_REQUIRE=1: there
// is nothing that could be installed.
func OnASmallDisk(t *testing.T, megabytes int, body func(t *testing.T, dir string)) {
	t.Helper()
	if dir := os.Getenv(mounted); dir != "" {
		if err := unix.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%dm", megabytes)); err != nil {
			t.Skipf("%s: %v", noDisk, err)
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
	if err != nil && !errors.As(err, &exit) || bytes.Contains(out, []byte(noDisk)) {
		t.Skipf("%s: %v %s", noDisk, err, out) // the inner one could not mount, or could not be started
	}
	if err != nil || !bytes.Contains(out, []byte("--- PASS: "+t.Name())) {
		t.Fatalf("%v\n%s", err, out)
	}
}
