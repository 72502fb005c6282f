package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// system fetches lists of files.
type system interface {
	Name() string
	Title() string
	// Missing returns what must be installed first; "" if nothing.
	Missing() string
	// Ours reports whether the dispatcher and the worker of this tree fetch.
	Ours() bool
	// Fetch fetches every file of the job into its folder.
	Fetch(ctx context.Context, j *job) (*outcome, error)
}

// job is one list for one system.
type job struct {
	list   list
	server *server
	home   string // of the system: its logs and state
	dir    string // for the files
	slots  int
}

// outcome is what a system used, without its start where it is a daemon.
type outcome struct {
	wall  time.Duration
	cpu   map[string]time.Duration // by process
	calls map[string]int           // system calls of the worker, if they were counted
}

func names(all []system) string {
	var list []string
	for _, s := range all {
		list = append(list, s.Name())
	}
	return strings.Join(list, ",")
}

// allSystems lists the systems. ours may be nil if only their names are needed; earlier are
// the programs of another checkout, nil without one.
func allSystems(ours, earlier *programs) []system {
	all := []system{
		&cluster{programs: ours, name: "direct", title: "ours, direct", engine: "direct"},
		&cluster{programs: ours, name: "auto", title: "ours, auto", engine: "auto"},
		&cluster{programs: ours, name: "aria2", title: "ours, aria2", engine: "aria2", mirrors: true},
		&tool{name: "aria2c", args: func(j *job) []string {
			return []string{"-q", "-i", filepath.Join(j.home, "list"), "-j", strconv.Itoa(j.slots), "-x", "1", "-d", j.dir}
		}},
		&tool{name: "curl", line: "url = %q\noutput = %q\n", args: func(j *job) []string {
			return []string{"-s", "-S", "-f", "-Z", "--parallel-max", strconv.Itoa(j.slots), "-K", filepath.Join(j.home, "list")}
		}},
		&tool{name: "wget2", args: func(j *job) []string {
			return []string{"-q", "-i", filepath.Join(j.home, "list"), "--max-threads", strconv.Itoa(j.slots), "-P", j.dir}
		}},
	}
	if earlier != nil {
		all = append(all,
			&cluster{programs: earlier, name: "direct-before", title: "direct, before", engine: "direct"},
			&cluster{programs: earlier, name: "aria2-before", title: "aria2, before", engine: "aria2", mirrors: true})
	}
	return all
}

// tool is a program that fetches a list and ends.
type tool struct {
	name string
	line string // of its list: URL and path; "" means the URL alone
	args func(j *job) []string
}

// Name implements [system].
func (t *tool) Name() string { return t.name }

// Title implements [system].
func (t *tool) Title() string { return t.name }

// Ours implements [system].
func (t *tool) Ours() bool { return false }

// Missing implements [system].
func (t *tool) Missing() string {
	if _, err := exec.LookPath(t.name); err != nil {
		return "apt-get install " + strings.TrimSuffix(t.name, "c")
	}
	return ""
}

// Fetch implements [system]. The start of the program counts.
func (t *tool) Fetch(ctx context.Context, j *job) (*outcome, error) {
	var text strings.Builder
	for i := range j.list.count {
		url := j.server.url(j.list.file(i))
		if t.line == "" {
			fmt.Fprintln(&text, url)
			continue
		}
		fmt.Fprintf(&text, t.line, url, filepath.Join(j.dir, j.list.file(i)))
	}
	if err := os.WriteFile(filepath.Join(j.home, "list"), []byte(text.String()), 0o644); err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, t.name, t.args(j)...)
	cmd.Dir, cmd.Env = j.home, []string{"PATH=" + os.Getenv("PATH"), "HOME=" + j.home}
	begin := time.Now()
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%s: %w\n%s", t.name, err, bytes.TrimSpace(out))
	}
	wall := time.Since(begin)
	cpu := cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	return &outcome{wall: wall, cpu: map[string]time.Duration{t.name: cpu}}, nil
}
