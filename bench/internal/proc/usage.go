package proc

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// tick is the unit of times in /proc/PID/stat: USER_HZ, 100 a second on every
// Linux that Go runs on.
const tick = 10 * time.Millisecond

// CPU returns the processor time that the process and its children have used,
// also those children that have ended. It is exact to 10 ms a process.
func (p *Process) CPU() time.Duration { return CPU(p.PID()) }

// CPU is as [Process.CPU], for any process.
func CPU(pid int) time.Duration {
	sum := cpu(pid)
	for _, child := range children(pid) {
		sum += cpu(child)
	}
	return sum
}

// cpu reads utime, stime, cutime and cstime, fields 14 to 17 of stat. A process
// that has ended meanwhile counts 0 here, and in its parent.
func cpu(pid int) time.Duration {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	// The name, field 2, may have spaces; what follows its bracket begins with field 3.
	fields := bytes.Fields(b[bytes.LastIndexByte(b, ')')+1:])
	var sum time.Duration
	for _, f := range fields[11:15] {
		n, _ := strconv.ParseInt(string(f), 10, 64)
		sum += time.Duration(n) * tick
	}
	return sum
}

func children(pid int) []int {
	// Each thread lists the children that it started.
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	if err != nil {
		return nil
	}
	var list []int
	for _, thread := range threads {
		b, err := os.ReadFile(thread)
		if err != nil {
			continue // it has ended
		}
		for _, f := range strings.Fields(string(b)) {
			if n, err := strconv.Atoi(f); err == nil {
				list = append(list, n)
			}
		}
	}
	return list
}

// Memory returns bytes: of a process without children the most that was resident
// at once; of one with children (PostgreSQL) what all of them have now, with pages
// that they share counted once.
func (p *Process) Memory() int64 { return Memory(p.PID()) }

// Memory is as [Process.Memory], for any process.
func Memory(pid int) int64 {
	list := children(pid)
	if len(list) == 0 {
		return field(fmt.Sprintf("/proc/%d/status", pid), "VmHWM:")
	}
	sum := field(fmt.Sprintf("/proc/%d/smaps_rollup", pid), "Pss:")
	for _, child := range list {
		sum += field(fmt.Sprintf("/proc/%d/smaps_rollup", child), "Pss:")
	}
	return sum
}

// Resident returns the bytes that are resident now.
func Resident(pid int) int64 { return field(fmt.Sprintf("/proc/%d/status", pid), "VmRSS:") }

// field reads a line such as "VmHWM:  1234 kB" of a file, in bytes; 0 if it is
// not there.
func field(path, name string) int64 {
	f, err := os.Open(path)
	if err != nil {
		return 0
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		if rest, ok := strings.CutPrefix(s.Text(), name); ok {
			kb, _ := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 64)
			return kb << 10
		}
	}
	return 0
}

// Processor returns the name of the machine's processor, "processor" where that is
// not told.
func Processor() string {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return "processor"
	}
	for line := range strings.Lines(string(text)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "processor"
}

// LoadAverage returns how many processes of the machine wanted to run, on average
// of the last minute; "unknown" where that is not told.
func LoadAverage() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	one, _, _ := strings.Cut(string(text), " ")
	return one
}

// Own returns the processor time of a process without its children that still run.
func Own(pid int) time.Duration { return cpu(pid) }
