package engine

import (
	"flag"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/aria-cluster/dispatcher/internal/engine/placement"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

var update = flag.Bool("update", false, "write what the engine does into testdata, to be read before it is committed")

// TestEngine_FollowsTranscripts tells stories: each testdata/*.txt holds events (host queues that
// begin with ">") and, indented below each, what came of it. Lines that begin
// with "#" are the storyteller's.
func TestEngine_FollowsTranscripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no transcripts: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := replay(t, string(want))
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got != string(want) {
				t.Errorf("the story has changed; it is now (go test -update writes it):\n%s", got)
			}
		})
	}
}

func replay(t *testing.T, story string) string {
	w := newWorld(t, testConfig())
	var out strings.Builder
	for line := range strings.Lines(story) {
		switch {
		case strings.HasPrefix(line, "> "):
			out.WriteString(line)
			for _, l := range w.act(strings.Fields(line[2:])) {
				out.WriteString("    " + l + "\n")
			}
		case strings.HasPrefix(line, " "):
		default:
			out.WriteString(line)
		}
	}
	return out.String()
}

// act does what one line says and tells what came of it.
func (w *world) act(words []string) []string {
	verb, args := words[0], words[1:]
	switch verb {
	case "restart":
		w.restart()
		return nil
	case "rules": // before anything else
		w.rules(args)
		return nil
	case "why":
		return w.why(args)
	case "status":
		return w.status()
	case "disconnect", "connect":
		w.offline = verb == "disconnect"
		return w.tell(w.turn(Tick{}))
	case "pass":
		d, err := model.ParseDuration(args[0])
		w.must(err)
		var lines []string
		for _, p := range w.pass(d) {
			lines = append(lines, w.tell(nil, p)...)
		}
		return lines
	case "clock": // sets the wall clock ahead by so many seconds, or back
		n, err := strconv.Atoi(args[0])
		w.must(err)
		w.ahead += model.Time(n) * 1000
		return w.tell(w.turn(Tick{}))
	case "stall": // the process stands still for so long
		d, err := model.ParseDuration(args[0])
		w.must(err)
		w.now = w.now.Add(d)
		return w.tell(w.turn(Tick{}))
	case "together": // several events in one turn, separated by "+"
		var events []Event
		for part := range strings.SplitSeq(strings.Join(args, " "), " + ") {
			events = append(events, w.event(strings.Fields(part)))
		}
		return w.tell(w.turn(events...))
	}
	return w.tell(w.turn(w.event(words)))
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// event reads one event: a verb, its names in order, then key=value.
func (w *world) event(words []string) Event {
	w.t.Helper()
	names, opts := words[1:], map[string]string{}
	for i, word := range names {
		if strings.Contains(word, "=") {
			for _, o := range names[i:] {
				k, v, _ := strings.Cut(o, "=")
				opts[k] = v
			}
			names = names[:i]
			break
		}
	}
	number := func(key string, otherwise int) int {
		if opts[key] == "" {
			return otherwise
		}
		n, err := strconv.Atoi(opts[key])
		w.must(err)
		return n
	}
	switch words[0] {
	case "submit":
		return w.submitEvent(names, opts, number)
	case "cancel":
		return Cancel{Client: names[0], ID: names[1]}
	case "pause":
		return Pause{Client: names[0], ID: names[1]}
	case "resume":
		return Resume{Client: names[0], ID: names[1]}
	case "retry":
		return Retry{Client: names[0], ID: names[1], URL: opts["url"]}
	case "update":
		return w.updateEvent(names, opts)
	case "delete":
		return Delete{Client: names[0], ID: names[1], Files: opts["files"] != ""}
	case "expire": // the rows that ended longer ago than that
		d, err := model.ParseDuration(names[0])
		w.must(err)
		return w.expired(d)
	case "drain":
		return DrainWorker{ID: names[0]}
	case "undrain":
		return ResumeWorker{ID: names[0]}
	case "remove":
		return RemoveWorker{ID: names[0], Force: opts["force"] != ""}
	case "report":
		return Report{Worker: names[0], Report: w.said(names[1])}
	case "heartbeat":
		w.beats++
		h := &model.Heartbeat{
			WorkerID: names[0], Instance: names[0] + "-i", Epoch: int64(number("epoch", 1)), Seq: int64(number("seq", w.beats)),
			State: model.StateReady, TotalSlots: number("slots", 2), Prefetch: number("prefetch", 0), Partial: opts["partial"] != "",
		}
		if opts["instance"] != "" {
			h.Instance = opts["instance"]
		}
		if opts["state"] != "" {
			h.State, h.StateReason = model.WorkerState(opts["state"]), opts["because"]
		}
		h.Capabilities.Tags = pairs(opts["tag"])
		h.HealthMetrics.DiskFree = int64(number("free", 0))
		h.HealthMetrics.CPUUsage = float64(number("busy", 0))
		h.HealthMetrics.MemoryUsage, h.HealthMetrics.DiskUsage = h.HealthMetrics.CPUUsage, h.HealthMetrics.CPUUsage
		h.HealthMetrics.ErrorCount = int64(number("errors", 0))
		if opts["holds"] != "" {
			for item := range strings.SplitSeq(opts["holds"], ",") {
				h.Tasks = append(h.Tasks, w.said(item))
			}
		}
		w.must(h.Validate())
		return Heartbeat{h}
	}
	w.t.Fatalf("unknown event %q", words)
	return nil
}

func (w *world) submitEvent(names []string, opts map[string]string, number func(string, int) int) Event {
	s := spec(names[1])
	if opts["url"] != "" {
		s.URL = opts["url"]
	}
	if opts["priority"] != "" {
		p, err := model.ParsePriority(opts["priority"])
		w.must(err)
		s.Priority = p
	}
	s.Tags = pairs(opts["tag"])
	s.MaxAttempts = number("max_attempts", 0)
	s.Timeout = model.Seconds(float64(number("timeout", 0)))
	if n := number("not_before", 0); n > 0 {
		s.NotBefore = w.clock().Wall.Add(model.Seconds(float64(n)))
	}
	w.must(s.Validate())
	return Submit{Client: names[0], Spec: s, Hash: s.Hash(), Chosen: true}
}

func (w *world) updateEvent(names []string, opts map[string]string) Event {
	u := &model.TaskUpdate{}
	if v, ok := opts["url"]; ok {
		u.URL = &v
	}
	if v, ok := opts["tag"]; ok {
		tags := pairs(v)
		u.Tags = &tags
	}
	if v, ok := opts["priority"]; ok {
		p, err := model.ParsePriority(v)
		w.must(err)
		u.Priority = &p
	}
	if v, ok := opts["split"]; ok {
		u.Options = &model.Options{"split": {v}}
	}
	return Update{Client: names[0], ID: names[1], Change: u}
}

// pairs reads "name:value,name:value".
func pairs(s string) map[string]string {
	if s == "" {
		return nil
	}
	m := map[string]string{}
	for item := range strings.SplitSeq(s, ",") {
		k, v, _ := strings.Cut(item, ":")
		m[k] = v
	}
	return m
}

// rules changes the configuration: key=value.
func (w *world) rules(args []string) {
	for _, arg := range args {
		k, v, _ := strings.Cut(arg, "=")
		n, err := strconv.Atoi(v)
		if k != "strategy" && k != "host" {
			w.must(err)
		}
		switch k {
		case "strategy":
			w.cfg.Strategy = placement.Strategy(v)
		case "ageing":
			w.cfg.Ageing = model.Seconds(float64(n))
		case "retry_after_max":
			w.cfg.RetryAfterMax = model.Seconds(float64(n))
		case "per_host":
			w.cfg.PerHost = n
		case "host": // host=name:n
			name, limit, _ := strings.Cut(v, ":")
			n, err := strconv.Atoi(limit)
			w.must(err)
			w.cfg.Hosts = map[string]int{name: n}
		case "client_pending":
			w.cfg.ClientPending = int64(n)
		case "max_pending":
			w.cfg.MaxPending = int64(n)
		case "max_workers":
			w.cfg.MaxWorkers = n
		case "requirement_sets":
			w.cfg.RequirementSets = n
		case "retain_ids":
			w.cfg.RetainIDs = model.Seconds(float64(n))
		default:
			w.t.Fatalf("unknown rule %q", arg)
		}
	}
	w.restart()
}

// expired is what a store would find.
func (w *world) expired(d model.Duration) Event {
	var x Expire
	for _, id := range slices.Sorted(maps.Keys(w.tasks)) {
		if row := w.tasks[id]; row.Status.Terminal() && row.FinishedAt.Add(d) < w.clock().Wall {
			x.Rows = append(x.Rows, model.TaskChange{ID: id, From: row.Status, Delete: true})
		}
	}
	return x
}

// said reads a worker's word on an attempt: "task#attempt:status[:detail[:size]]",
// the detail being the percent of a file of 1,000 bytes, or of size, or the class
// of a failure.
func (w *world) said(s string) model.Report {
	w.t.Helper()
	ref, rest, _ := strings.Cut(s, ":")
	id, attempt, _ := strings.Cut(ref, "#")
	status, detail, _ := strings.Cut(rest, ":")
	detail, size, _ := strings.Cut(detail, ":")
	n, err := strconv.ParseInt(attempt, 10, 64)
	w.must(err)
	r := model.Report{ID: id, Attempt: n, Status: model.ReportStatus(status), TotalLength: 1000}
	if size != "" {
		r.TotalLength, err = strconv.ParseInt(size, 10, 64)
		w.must(err)
	}
	switch r.Status {
	case model.ReportFailed:
		class, after, asked := strings.Cut(detail, "+") // "retryable+30": with Retry-After
		if detail = class; asked {
			seconds, err := strconv.Atoi(after)
			w.must(err)
			r.RetryAfter = model.Seconds(float64(seconds))
		}
		r.Error = &model.TaskError{Code: 1, Class: model.Class(detail), Message: "it broke"}
	case model.ReportCompleted:
		r.CompletedLength, r.Progress = 1000, 100
	case model.ReportDownloading:
		p, _ := strconv.ParseFloat(detail, 64)
		r.Progress, r.CompletedLength = p, int64(p)*r.TotalLength/100
	}
	w.must(r.Normalize())
	return r
}
