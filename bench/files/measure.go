package main

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// result is one list, fetched once by one system.
type result struct {
	System, List string
	Round        int
	Files        int
	FilesPerSec  float64
	MBPerSec     float64
	Seconds      float64
	CPU          map[string]float64 // ms a file, by process
	Requests     float64            // a file
	Wire         float64            // bytes a file
	Calls        map[string]float64 // system calls a file, if they were counted
}

// fewFiles is from which fraction of the lists on nothing is compared: in tests.
const fewFiles = 100

// keptBytes is up to which length of a list its files stay until the end of the run. An
// ext4 without a journal does not reuse the inodes of files that were deleted in the last
// minutes, and each new file has to search past them: the next systems would pay for it.
const keptBytes = 64 << 20

// measure runs the rounds: in each every list, and of that every system in turn, each
// round beginning with another one.
func (b *bench) measure(ctx context.Context) ([]result, error) {
	var all []result
	for round := range b.rounds {
		for _, l := range b.lists {
			for i := range b.systems {
				s := b.systems[(i+round)%len(b.systems)]
				r, err := b.fetch(ctx, s, l)
				if err != nil {
					return nil, fmt.Errorf("%s, %s: %w", s.Name(), l.name, err)
				}
				r.Round = round + 1
				fmt.Fprintf(b.stderr, "round %d/%d  %-6s  %-7s %8.1f files/s %8.1f MB/s %7.2f s  %s\n",
					r.Round, b.rounds, l.name, s.Name(), r.FilesPerSec, r.MBPerSec, r.Seconds, costs(r.CPU))
				all = append(all, *r)
			}
		}
	}
	return all, nil
}

func costs(cpu map[string]float64) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(cpu)) {
		parts = append(parts, fmt.Sprintf("%s %.2f ms", name, cpu[name]))
	}
	return strings.Join(parts, ", ")
}

// fetch has a system fetch a list into an empty folder, and checks the files.
func (b *bench) fetch(ctx context.Context, s system, l list) (*result, error) {
	b.fetched++
	home := filepath.Join(b.dir, fmt.Sprintf("cell-%d", b.fetched))
	j := &job{list: l, server: b.server, home: home, dir: filepath.Join(home, "files"), slots: b.slots}
	if l.bytes() > keptBytes {
		defer os.RemoveAll(home)
	}
	if err := os.MkdirAll(j.dir, 0o755); err != nil {
		return nil, err
	}
	if _, err := b.server.traffic(ctx); err != nil {
		return nil, err
	}
	if b.divide < fewFiles {
		syscall.Sync() // the writes of the system before do not count here
	}
	nginx := b.server.CPU()
	out, err := s.Fetch(ctx, j)
	if err != nil {
		return nil, err
	}
	out.cpu["nginx"] = b.server.CPU() - nginx
	if err := l.check(j.dir, filepath.Join(b.dir, "served")); err != nil {
		return nil, err
	}
	traffic, err := b.server.traffic(ctx)
	if err != nil {
		return nil, err
	}
	return newResult(s, l, out, traffic), nil
}

func newResult(s system, l list, out *outcome, traffic wire) *result {
	files := float64(l.count)
	r := &result{
		System: s.Name(), List: l.name, Files: l.count, Seconds: out.wall.Seconds(),
		FilesPerSec: files / out.wall.Seconds(), MBPerSec: files * float64(l.length) / 1e6 / out.wall.Seconds(),
		CPU: map[string]float64{}, Requests: float64(traffic.Requests) / files, Wire: float64(traffic.Bytes) / files,
		Calls: map[string]float64{},
	}
	for name, d := range out.cpu {
		if d > 0 {
			r.CPU[name] = float64(d) / float64(time.Millisecond) / files
		}
	}
	for name, n := range out.calls {
		r.Calls[name] = float64(n) / files
	}
	return r
}
