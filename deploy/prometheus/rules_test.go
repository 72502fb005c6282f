package prometheus_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/aria-cluster/dispatcher/internal/testbed"
)

// promtool accepts the rules, and each alert fires and stays quiet as its tests say.
func TestRules_PassPromtool(t *testing.T) {
	promtool := testbed.RequireBinary(t, "promtool")
	for _, args := range [][]string{{"check", "rules", "rules.yaml"}, {"test", "rules", "rules_test.yaml"}} {
		if out, err := exec.Command(promtool, args...).CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
}

type rules struct {
	Groups []struct {
		Rules []struct {
			Alert string
			Expr  string
		}
	}
}

type ruleTests struct {
	Tests []struct {
		AlertRuleTest []struct {
			Alertname string
			ExpAlerts []any `yaml:"exp_alerts"`
		} `yaml:"alert_rule_test"`
	}
}

func read(t *testing.T, path string, into any) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(text, into); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

// Each alert has a test in which it fires and one in which it does not, and is described
// in docs/operations.md.
func TestRules_EachAlertIsTestedAndDescribed(t *testing.T) {
	var r rules
	var tests ruleTests
	read(t, "rules.yaml", &r)
	read(t, "rules_test.yaml", &tests)
	operations, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	fires, quiet := map[string]bool{}, map[string]bool{}
	for _, one := range tests.Tests {
		for _, a := range one.AlertRuleTest {
			if len(a.ExpAlerts) > 0 {
				fires[a.Alertname] = true
			} else {
				quiet[a.Alertname] = true
			}
		}
	}
	n := 0
	for _, g := range r.Groups {
		for _, one := range g.Rules {
			n++
			if !fires[one.Alert] || !quiet[one.Alert] {
				t.Errorf("%s: a test in which it fires is there: %v, one in which it does not: %v", one.Alert, fires[one.Alert], quiet[one.Alert])
			}
			if !strings.Contains(string(operations), "| `"+one.Alert+"` |") {
				t.Errorf("docs/operations.md does not say what to do for %s", one.Alert)
			}
		}
	}
	if n < 15 {
		t.Errorf("there are %d alerts", n)
	}
}

// promtool parses each query of the board. Grafana's variables are put in first.
func TestBoard_QueriesParse(t *testing.T) {
	promtool := testbed.RequireBinary(t, "promtool")
	var board struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	text, err := os.ReadFile("../grafana/aria.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &board); err != nil {
		t.Fatal(err)
	}
	var records strings.Builder // a rules file: one run of promtool for all
	records.WriteString("groups:\n- name: board\n  rules:\n")
	n := 0
	for _, p := range board.Panels {
		for _, target := range p.Targets {
			n++
			query := strings.NewReplacer("$__rate_interval", "5m", "$instance", ".*").Replace(target.Expr)
			encoded, err := json.Marshal(query)
			if err != nil {
				t.Fatal(err)
			}
			records.WriteString("  - record: " + recordName(n) + "\n    expr: " + string(encoded) + "\n")
		}
	}
	if n < 40 {
		t.Errorf("the board has %d queries", n)
	}
	file := filepath.Join(t.TempDir(), "board.yaml")
	if err := os.WriteFile(file, []byte(records.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(promtool, "check", "rules", file).CombinedOutput(); err != nil {
		t.Errorf("promtool: %v\n%s", err, out)
	}
}

// recordName names a record that no other has.
func recordName(n int) string { return "board:query:" + strings.Repeat("x", n) }
