package testbed

import (
	"fmt"
	"os"
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
