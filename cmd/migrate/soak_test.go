//go:build soak

package main

import (
	"bytes"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
)

// TestSoakAMillionTasksKeepTheirDigest moves 1,000,000 tasks and 1,000 workers
// from SQLite to a file of records and back with the built program. It logs how
// fast that was and how much memory it took.
func TestSoakAMillionTasksKeepTheirDigest(t *testing.T) {
	dir := t.TempDir()
	want := seed(t, filepath.Join(dir, "first.db"), 1_000_000, 1000)
	for _, args := range [][]string{
		{"--source", "first.db", "--target", "records.jsonl"},
		{"--source", "records.jsonl", "--target", "second.db"},
		{"--source", "second.db", "--target", "third.db"},
		{"--source", "second.db", "--target", "third.db"},
	} {
		cmd := command(dir, append(args, "--json")...)
		cmd.Args = append([]string{"/usr/bin/time", "-v"}, cmd.Args...)
		cmd.Path = "/usr/bin/time"
		if _, err := exec.LookPath(cmd.Path); err != nil {
			t.Fatal("this test needs /usr/bin/time: apt-get install time")
		}
		var said bytes.Buffer
		cmd.Stderr = &said
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%v: %v\n%s%s", args, err, out, said.String())
		}
		r := decode(t, out)
		m := regexp.MustCompile(`Maximum resident set size \(kbytes\): (\d+)`).FindStringSubmatch(said.String())
		if m == nil {
			t.Fatalf("no memory in\n%s", said.String())
		}
		kib, err := strconv.Atoi(m[1])
		if err != nil {
			t.Fatal(err)
		}
		records := float64(want.Tasks + want.Workers)
		state := cmd.ProcessState // with that of the child, which it waited for
		t.Logf("%v: %.0f records/s, %.0f µs of CPU each, %d MB", args, records/r.Duration.Std().Seconds(),
			float64((state.UserTime()+state.SystemTime()).Microseconds())/records, kib*1024/1e6)
		if r.Digest != want || !r.Verified {
			t.Errorf("%v: digest %v, want %v", args, r.Digest, want)
		}
		if kib*1024 > 200e6 {
			t.Errorf("%v: %d kB of memory", args, kib)
		}
	}
	if got := digest(t, filepath.Join(dir, "third.db")); got != want {
		t.Errorf("the last file holds %v, want %v", got, want)
	}
}
