package downloadtest

import (
	"testing"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// TestHostileServers_NameEachTestsServers: each test with hostile servers has its
// servers in the table that tests of whole clusters use.
func TestHostileServers_NameEachTestsServers(t *testing.T) {
	for name := range hostile {
		if hostileServers[name] == nil {
			t.Errorf("add the servers of %q to hostileServers", name)
		}
	}
	for name := range hostileServers {
		if hostile[name] == nil {
			t.Errorf("hostileServers has %q, but hostile does not", name)
		}
	}
}

// TestHostileServers_FitTasks: each server makes a valid task with a distinct id,
// and a statement about its end.
func TestHostileServers_FitTasks(t *testing.T) {
	seen := make(map[string]bool)
	for _, s := range HostileServers() {
		spec := model.TaskSpec{ID: "hostile-" + s.Name, URL: "http://127.0.0.1:1" + s.Path, Options: s.Options, MaxAttempts: s.MaxAttempts, Timeout: s.Timeout}
		if err := spec.Validate(); (err != nil) != s.Refused {
			t.Errorf("%s: %v, refused is %v", s.Name, err, s.Refused)
		}
		if seen[s.Name] || s.Handler == nil || len(s.Files) == 0 && !s.MayFail {
			t.Errorf("%s: its name is taken, or it has no handler, or no way to end", s.Name)
		}
		seen[s.Name] = true
	}
	if len(seen) < len(hostile) {
		t.Errorf("%d servers for %d tests", len(seen), len(hostile))
	}
}
