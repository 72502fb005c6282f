package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/aria-cluster/dispatcher/bench/internal/queue"
)

// suite is the folder with the scenarios of the dashboard, and with timings.mjs.
const suite = "internal/httpd/web/suite"

// pagesPart measures the dashboard in Chromium, with many finished tasks in the store and
// many workers that send heartbeats.
func (b *bench) pagesPart(ctx context.Context) error {
	b.table.head("Dashboard: %d finished tasks, %d workers with %d tasks each, a heartbeat each %v", b.finished, b.workers, b.held, b.interval)
	modules, err := b.installSuite(ctx)
	if err != nil {
		return err
	}
	dir := filepath.Join(b.dir, "finished")
	if err := b.seedFinished(ctx, dir); err != nil {
		return err
	}
	i, err := b.start(ctx, dir, "sqlite", "-heartbeat-interval", b.interval.String(), "-heartbeat-timeout", (6 * b.interval).String())
	if err != nil {
		return err
	}
	defer i.stop()
	if err := i.fill(ctx, b.workers*b.held, "fleet"); err != nil {
		return err
	}
	ledger := &queue.Ledger{}
	stop, err := b.startFleet(ctx, i, fleet{"fleet", b.workers, b.connections, b.held, b.interval}, ledger, &beats{})
	if err != nil {
		return err
	}
	defer stop()
	if err := ledger.AwaitGiven(ctx, int64(b.workers*b.held)); err != nil {
		return err
	}
	if err := wait(ctx, b.interval); err != nil {
		return err
	}
	b.say("measuring pages; the load average is %s", loadAverage())
	profiled := make(chan struct{})
	go func() {
		b.profile(ctx, i, "profile?seconds=30", "pages.cpu")
		close(profiled)
	}()
	err = b.browse(ctx, i, modules)
	<-profiled
	if err != nil {
		return err
	}
	if err := b.scrape(ctx, i); err != nil {
		return err
	}
	b.table.line("load average of the machine, with this program", "%s", loadAverage())
	return faultless(ledger)
}

// installSuite copies the scenarios and fetches their packages.
func (b *bench) installSuite(ctx context.Context) (dir string, err error) {
	dir = filepath.Join(b.dir, "suite")
	if err := os.RemoveAll(dir); err != nil {
		return "", err
	}
	if err := os.CopyFS(dir, os.DirFS(filepath.Join(b.root, suite))); err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, "npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("npm ci: %w\n%s", err, out)
	}
	return dir, nil
}

// timing is a line of timings.mjs.
type timing struct {
	Name     string
	MS       []float64
	Goal     float64 // of the median; 0 without one
	Requests int     // of the last one
	Bytes    int     // that these have sent
	CPU      float64 // of Chromium, in ms, mean of all
}

// browse runs timings.mjs against the instance and prints its figures.
func (b *bench) browse(ctx context.Context, i *instance, modules string) error {
	chromium, err := exec.LookPath("chromium")
	if err != nil {
		return err
	}
	base, _, _ := strings.Cut(i.server.Profiles, "debug/")
	cmd := exec.CommandContext(ctx, "node", "timings.mjs")
	cmd.Dir = modules
	cmd.Env = append(os.Environ(), "SUITE_BASE="+base, "SUITE_CHROMIUM="+chromium, fmt.Sprintf("SUITE_RUNS=%d", b.runs))
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	lines := bufio.NewScanner(out)
	for err == nil && lines.Scan() {
		var t timing
		if err = json.Unmarshal(lines.Bytes(), &t); err == nil {
			b.printTiming(&t)
		}
	}
	if waited := cmd.Wait(); waited != nil || err != nil {
		return fmt.Errorf("timings.mjs: %w\n%s", errors.Join(waited, err), &stderr)
	}
	return nil
}

func (b *bench) printTiming(t *timing) {
	name := fmt.Sprintf("%s, median and range of %d", t.Name, len(t.MS))
	if t.Requests > 0 {
		name += fmt.Sprintf(" (%d requests, %d kB)", t.Requests, t.Bytes/1000)
	}
	text := fmt.Sprintf("%.0f, %.0f to %.0f ms", middle(t.MS), slices.Min(t.MS), slices.Max(t.MS))
	if t.CPU > 0 {
		text += fmt.Sprintf("; processor time of Chromium %.0f ms", t.CPU)
	}
	if t.Goal == 0 {
		b.table.line(name, "%s", text)
		return
	}
	b.table.within(name, text, middle(t.MS), t.Goal, " ms")
}

// loadAverage returns that of the last minute, or "unknown".
func loadAverage() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	first, _, _ := strings.Cut(string(text), " ")
	return first
}
