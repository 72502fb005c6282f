package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// watch counts the system calls of a process with strace, or writes a profile of it with
// perf, if that was asked for. The returned function ends it.
func (c *cluster) watch(ctx context.Context, pid int, j *job) (func() (map[string]int, error), error) {
	switch {
	case c.calls:
		file := filepath.Join(j.home, "calls")
		stop, err := startBeside(ctx, "strace", "-f", "-c", "-o", file, "-p", strconv.Itoa(pid))
		if err != nil {
			return nil, err
		}
		return func() (map[string]int, error) {
			stop()
			return readCalls(file)
		}, nil
	case c.profiles != "":
		file := filepath.Join(c.profiles, c.name+"."+j.list.name+".perf")
		stop, err := startBeside(ctx, "perf", "record", "-q", "-g", "-o", file, "-p", strconv.Itoa(pid))
		if err != nil {
			return nil, err
		}
		return func() (map[string]int, error) { stop(); return nil, nil }, nil
	}
	return func() (map[string]int, error) { return nil, nil }, nil
}

// startBeside starts a program that watches another one, and returns the function that
// ends it.
func startBeside(ctx context.Context, name string, args ...string) (stop func(), err error) {
	cmd := exec.CommandContext(ctx, name, args...)
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	select {
	case <-time.After(time.Second): // it has attached
	case <-ctx.Done():
	}
	return func() {
		_ = cmd.Process.Signal(syscall.SIGINT)
		_ = cmd.Wait() // it ends by the signal
	}, nil
}

// readCalls reads the table of strace -c: the last column is the name of a call, the
// fourth the number.
func readCalls(file string) (map[string]int, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	calls := map[string]int{}
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) < 5 {
			continue
		}
		if n, err := strconv.Atoi(fields[3]); err == nil {
			calls[fields[len(fields)-1]] = n
		}
	}
	if len(calls) == 0 {
		return nil, fmt.Errorf("strace has counted nothing: %.200s", text)
	}
	return calls, nil
}
