package metrics_test

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	dto "github.com/prometheus/client_model/go"

	"github.com/aria-cluster/dispatcher/internal/engine"
	"github.com/aria-cluster/dispatcher/internal/metrics"
	"github.com/aria-cluster/dispatcher/internal/metrics/node"
	"github.com/aria-cluster/dispatcher/internal/worker"
)

// task docs: go test ./internal/metrics -run Documented -update
var update = flag.Bool("update", false, "regenerate the tables in docs/metrics.md")

func dispatcherFamilies(t *testing.T, labels ...string) []*dto.MetricFamily {
	t.Helper()
	return gather(t, metrics.New(metrics.Options{
		Store: "sqlite", Verbs: []string{"task.submit"}, Labels: labels,
		Sources: metrics.Sources{
			Figures: func() engine.Figures { return engine.Figures{} }, InboxDepth: func() int { return 0 }, StoreBytes: func() int64 { return 0 }, LostCommits: func() int64 { return 0 }, UnmetSync: func() bool { return true }, LeaderConflict: func() bool { return true }, Leads: func() (bool, int64) { return true, 0 },
			NATS: func() (bool, uint64) { return true, 0 }, Intake: func() metrics.Intake { return metrics.Intake{} },
		},
	}).Gatherer())
}

func workerRegistry() *prometheus.Registry {
	zero := func() int64 { return 0 }
	return node.NewRegistry(node.Sources{Figures: func() worker.Figures { return worker.Figures{} }, Aria2Restarts: zero, GuardRefusals: zero})
}

// gather returns the metrics of this system, without Go's and those of the process.
func gather(t *testing.T, g prometheus.Gatherer) []*dto.MetricFamily {
	t.Helper()
	all, err := g.Gather()
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(all, func(f *dto.MetricFamily) bool { return !strings.HasPrefix(f.GetName(), "aria_") })
}

// Each metric is in the tables of docs/metrics.md, with its type, labels and meaning.
func TestMetrics_DocumentedInMetricsDoc(t *testing.T) {
	const path = "../../docs/metrics.md"
	old, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text := string(old)
	for mark, families := range map[string][]*dto.MetricFamily{
		"dispatcher": dispatcherFamilies(t), "worker": gather(t, workerRegistry()),
	} {
		begin, end := "<!-- begin "+mark+" -->\n", "<!-- end "+mark+" -->"
		before, rest, found := strings.Cut(text, begin)
		_, after, ended := strings.Cut(rest, end)
		if !found || !ended {
			t.Fatalf("%s has no %s…%s", path, begin, end)
		}
		text = before + begin + table(families) + end + after
	}
	switch {
	case text == string(old):
	case !*update:
		t.Fatalf("%s is not what the registry has; run: go test ./internal/metrics -run Documented -update", path)
	default:
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// table is the metrics as a Markdown table.
func table(families []*dto.MetricFamily) string {
	var b strings.Builder
	b.WriteString("\n| metric | type | labels | meaning |\n|---|---|---|---|\n")
	for _, f := range families {
		values := make(map[string]map[string]bool)
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if values[l.GetName()] == nil {
					values[l.GetName()] = make(map[string]bool)
				}
				values[l.GetName()][l.GetValue()] = true
			}
		}
		var labels []string
		for _, name := range slices.Sorted(maps.Keys(values)) {
			label := "`" + name + "`"
			if n := len(values[name]); n > 2 && n < 10 && name != "verb" {
				label += " (" + strings.Join(slices.Sorted(maps.Keys(values[name])), ", ") + ")"
			}
			labels = append(labels, label)
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", f.GetName(), strings.ToLower(f.GetType().String()), strings.Join(labels, "; "), f.GetHelp())
	}
	return b.String() + "\n"
}

// The metrics of the worker follow Prometheus' conventions, and every series is there.
func TestWorkerMetrics_PassPromlint(t *testing.T) {
	problems, err := testutil.GatherAndLint(workerRegistry())
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	if n, err := testutil.GatherAndCount(workerRegistry(), "aria_worker_downloads_total"); err != nil || n != len(worker.Outcomes) {
		t.Errorf("%d outcomes of %d, %v", n, len(worker.Outcomes), err)
	}
}

// name matches a metric of this system in a query.
var name = regexp.MustCompile(`\baria_[a-z0-9_]+\b`)

// Every metric that an alert or a panel of the board names exists.
func TestDeploy_NamesExistInRegistries(t *testing.T) {
	known := make(map[string]bool)
	add := func(families []*dto.MetricFamily) {
		for _, f := range families {
			known[f.GetName()] = true
			if f.GetType() == dto.MetricType_HISTOGRAM {
				for _, part := range []string{"_bucket", "_sum", "_count"} {
					known[f.GetName()+part] = true
				}
			}
		}
	}
	add(dispatcherFamilies(t))
	add(gather(t, workerRegistry()))
	for _, path := range []string{"../../deploy/prometheus/rules.yaml", "../../deploy/prometheus/rules_test.yaml", "../../deploy/grafana/aria.json"} {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		names := name.FindAllString(string(text), -1)
		if len(names) < 20 {
			t.Errorf("%s names %d metrics", path, len(names))
		}
		for _, n := range names {
			if !known[n] {
				t.Errorf("%s: there is no metric %s", path, n)
			}
		}
	}
}
