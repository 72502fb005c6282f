//go:build soak

package migrate

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aria-cluster/dispatcher/internal/testbed"
)

const (
	soakTasks   = 1_000_000
	soakWorkers = 1000
	// soakCPU is what a record may take of both processes, in µs: at 66 two cores do
	// 30,000 a second. The other load of the machine does not affect it.
	soakCPU    = 60
	soakMemory = 200e6 // bytes, of the steps between files
)

// timed runs the program under /usr/bin/time -v, and returns what it printed and
// how much memory and CPU it took.
func timed(t *testing.T, dir string, args ...string) (r result, memory float64, cpu time.Duration) {
	t.Helper()
	cmd := command(dir, append(args, "--json")...)
	cmd.Args = append([]string{"time", "-v"}, cmd.Args...)
	cmd.Path = testbed.RequireBinary(t, "time")
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %v\n%s%s", args, err, out, said.String())
	}
	m := regexp.MustCompile(`Maximum resident set size \(kbytes\): (\d+)`).FindStringSubmatch(said.String())
	if m == nil {
		t.Fatalf("no memory in\n%s", said.String())
	}
	kib, err := strconv.ParseFloat(m[1], 64)
	if err != nil {
		t.Fatal(err)
	}
	return decode(t, out), kib * 1024, cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// spent returns the CPU time and the highest memory of a running process.
func spent(t *testing.T, pid int) (cpu time.Duration, memory float64) {
	t.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	for _, f := range fields[11:13] { // user and system, in hundredths of a second
		n, err := strconv.Atoi(f)
		if err != nil {
			t.Fatal(err)
		}
		cpu += time.Duration(n) * 10 * time.Millisecond
	}
	m := regexp.MustCompile(`VmHWM:\s+(\d+) kB`).FindSubmatch(status)
	kib, err := strconv.ParseFloat(string(m[1]), 64)
	if err != nil {
		t.Fatal(err)
	}
	return cpu, kib * 1024
}

func loadAverage() string {
	b, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "?"
	}
	return strings.Fields(string(b))[0]
}

// TestSoakCopy_MillionTasksKeepDigest moves 1,000,000 tasks and 1,000 workers
// from SQLite to a file of records, to SQLite, into a running dispatcher and out
// again, with the built programs, and logs how fast each step was and what it
// took. It fails on another digest, and where a step takes more memory or CPU
// than it may.
func TestSoakCopy_MillionTasksKeepDigest(t *testing.T) {
	dir := t.TempDir()
	want := seed(t, filepath.Join(dir, "first.db"), soakTasks, soakWorkers)
	live := start(t, t.TempDir(), "DISPATCHER_WORKER_MANAGEMENT_OFFLINE_THRESHOLD=3600")
	records := float64(want.Tasks + want.Workers)
	for _, step := range [][]string{
		{"first.db", "records.jsonl"},
		{"records.jsonl", "second.db"},
		{"second.db", "memory"},
		{"memory", "third.db"},
		{"second.db", "third.db"}, // which has all of it
	} {
		before, _ := spent(t, live.PID())
		r, memory, cpu := timed(t, dir, "--source", step[0], "--target", step[1], "--nats", live.url)
		after, held := spent(t, live.PID())
		each := float64((cpu + after - before).Microseconds()) / records
		text := fmt.Sprintf("%13s → %-13s %7.0f records/s, %2.0f µs of CPU each, %3.0f MB", step[0], step[1],
			records/r.Duration.Std().Seconds(), each, memory/1e6)
		if step[0] == "memory" || step[1] == "memory" {
			text += fmt.Sprintf(" (%.0f MB in the dispatcher, %.0f µs of it)", held/1e6, float64((after-before).Microseconds())/records)
		} else if memory > soakMemory {
			t.Errorf("%v: %.0f bytes of memory", step, memory)
		}
		t.Log(text, "load", loadAverage())
		if r.Digest != want || !r.Verified {
			t.Errorf("%v: digest %v, want %v", step, r.Digest, want)
		}
		if each > soakCPU {
			t.Errorf("%v: %.0f µs of CPU a record, at most %d", step, each, soakCPU)
		}
	}
	if got := digest(t, filepath.Join(dir, "third.db")); got != want {
		t.Errorf("the last file holds %v, want %v", got, want)
	}
}

// TestSoakCopy_KilledMillionRunsAgain kills copies of 1,000,000 tasks at
// 20 random moments, to both kinds of file and into a running dispatcher. A file
// is then not there, for none was whole; the same copy, run once more in the end,
// gives the same digest.
func TestSoakCopy_KilledMillionRunsAgain(t *testing.T) {
	dir := t.TempDir()
	want := seed(t, filepath.Join(dir, "source.db"), soakTasks, soakWorkers)
	live := start(t, t.TempDir(), "DISPATCHER_WORKER_MANAGEMENT_OFFLINE_THRESHOLD=3600")
	args := func(target string) []string {
		return []string{"--source", "source.db", "--target", target, "--nats", live.url}
	}
	whole := make(map[string]time.Duration) // how long a copy takes
	for _, target := range []string{"t.db", "t.jsonl"} {
		begin := time.Now()
		moved(t, dir, args(target)...)
		whole[target] = time.Since(begin)
		if err := os.Remove(filepath.Join(dir, target)); err != nil {
			t.Fatal(err)
		}
	}
	whole["memory"] = whole["t.db"] // about
	rnd := rand.New(rand.NewPCG(2, uint64(time.Now().UnixNano())))
	killed := 0
	for i := 0; killed < kills && i < 2*kills; i++ {
		target := []string{"t.db", "t.jsonl", "memory"}[i%3]
		cmd := command(dir, args(target)...)
		begin := time.Now()
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan struct{})
		go func() { cmd.Wait(); close(ended) }()
		select {
		case <-time.After(time.Duration(rnd.Int64N(int64(whole[target])))): // the random moment
		case <-ended:
		}
		cmd.Process.Signal(syscall.SIGKILL)
		<-ended
		switch path := filepath.Join(dir, target); {
		case !cmd.ProcessState.Exited():
			killed++
			if exists(path) { // it was renamed already, so it is whole
				must(t, dir, "verify", target)
				os.Remove(path)
			}
		case cmd.ProcessState.ExitCode() != 0:
			t.Errorf("the copy to %s, before kill %d: exit %d", target, i, cmd.ProcessState.ExitCode())
		default: // the machine has more time for it now
			whole[target] = time.Since(begin)
			os.Remove(path)
		}
	}
	for target := range whole {
		if r := moved(t, dir, args(target)...); r.Digest != want || !r.Verified {
			t.Errorf("%s in the end: %+v", target, r)
		}
	}
	if got := digest(t, filepath.Join(dir, "t.db")); got != want {
		t.Errorf("t.db holds %v, want %v", got, want)
	}
	must(t, dir, "verify", "t.db")
	must(t, dir, "verify", "t.jsonl")
	if r := moved(t, dir, "--source", "memory", "--target", "out.jsonl", "--nats", live.url); r.Digest != want {
		t.Errorf("the dispatcher holds %v, want %v", r.Digest, want)
	}
	if killed < kills {
		t.Errorf("only %d copies were killed before they ended", killed)
	}
}
