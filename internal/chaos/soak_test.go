//go:build soak

package chaos

import (
	"cmp"
	"context"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/aria-cluster/dispatcher/internal/worker/download/downloadtest"
)

// TestSoakCluster_Chaos injects faults for an hour, or for as long as ARIA_CHAOS says, such
// as 2m, while 2,000 innocent tasks (fewer in less time) and all hostile servers are
// served. ARIA_CHAOS_SEED repeats a run's choices; the report goes to the file
// ARIA_CHAOS_REPORT. With -artifacts the logs and the store are kept.
func TestSoakCluster_Chaos(t *testing.T) {
	duration, err := time.ParseDuration(cmp.Or(os.Getenv("ARIA_CHAOS"), "1h"))
	if err != nil {
		t.Fatal(err)
	}
	seed, err := strconv.ParseUint(cmp.Or(os.Getenv("ARIA_CHAOS_SEED"), strconv.FormatInt(time.Now().Unix(), 10)), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	innocent := max(200, int(2000*duration/time.Hour))
	t.Logf("ARIA_CHAOS=%v ARIA_CHAOS_SEED=%d", duration, seed)
	s := newScene(t, seed, innocent, duration, downloadtest.HostileServers())
	m := newMonkey(s.injector, seed)
	report := s.play(func(ctx context.Context) { m.run(ctx, time.Now().Add(duration), 5*time.Second) })
	t.Logf("\n%s", report)
	if path := os.Getenv("ARIA_CHAOS_REPORT"); path != "" {
		if err := os.WriteFile(path, []byte(report), 0o600); err != nil {
			t.Error(err)
		}
	}
}
