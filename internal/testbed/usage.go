package testbed

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// CPU is the processor time that a process has used, without its children's
// (proc(5), stat: utime and stime in ticks of 1/100 s). Linux only.
func CPU(t testing.TB, pid int) time.Duration {
	t.Helper()
	return time.Duration(procField(t, pid, "stat", 13)+procField(t, pid, "stat", 14)) * 10 * time.Millisecond
}

// Wakeups is how often the threads of a process have waited and gone on since they began
// (proc(5), status: voluntary_ctxt_switches). A program that polls has many, on a fast
// machine and on a slow one. Linux only.
func Wakeups(t testing.TB, pid int) (n int64) {
	t.Helper()
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
	if err != nil || len(threads) == 0 {
		t.Fatalf("threads of process %d: %v", pid, err)
	}
	for _, name := range threads {
		b, err := os.ReadFile(name)
		if err != nil {
			continue // the thread has ended
		}
		var switches int64
		_, after, _ := strings.Cut(string(b), "\nvoluntary_ctxt_switches:")
		if _, err := fmt.Sscan(after, &switches); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		n += switches
	}
	return n
}

// Memory is what a process has in memory, in bytes. Linux only.
func Memory(t testing.TB, pid int) int64 {
	t.Helper()
	return procField(t, pid, "statm", 1) * int64(os.Getpagesize())
}

// procField reads a number from /proc/PID/file.
func procField(t testing.TB, pid int, file string, field int) int64 {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, file))
	if err != nil {
		t.Fatal(err)
	}
	v, err := strconv.ParseInt(strings.Fields(string(b))[field], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return v
}
