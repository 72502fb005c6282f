package campaign_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aria-cluster/dispatcher/internal/sim/campaign"
	"github.com/aria-cluster/dispatcher/internal/sim/world"
)

// TestCampaign_SeedsHoldAndKindsOccur: each seed holds, and each kind of event and fault occurs.
func TestCampaign_SeedsHoldAndKindsOccur(t *testing.T) {
	tally, missing, failure := campaign.Campaign{Seeds: campaign.Block, SQLite: 50}.Run()
	if failure != nil {
		t.Fatalf("%v\n%s", failure, failure.Command())
	}
	for _, kind := range missing {
		t.Errorf("there was no %s", kind)
	}
	if tally.Seeds != campaign.Block || tally.Decided() < 25_000 {
		t.Errorf("%d seeds decided %d events", tally.Seeds, tally.Decided())
	}
}

// TestRun_SameSeedGivesSameTrace: a seed gives the same trace twice, and another seed another one.
func TestRun_SameSeedGivesSameTrace(t *testing.T) {
	var first, second strings.Builder
	a := world.Run(world.Options{Seed: 7, TraceOut: &first})
	b := world.Run(world.Options{Seed: 7, TraceOut: &second})
	if a.Trace != b.Trace || first.String() != second.String() || first.Len() == 0 {
		t.Errorf("traces %x and %x of %d and %d bytes", a.Trace, b.Trace, first.Len(), second.Len())
	}
	if c := world.Run(world.Options{Seed: 8}); c.Trace == a.Trace {
		t.Error("the seeds 7 and 8 give the same trace")
	}
}

// TestRun_DisabledFaultsDoNotOccur: disabled faults do not occur.
func TestRun_DisabledFaultsDoNotOccur(t *testing.T) {
	r := world.Run(world.Options{Seed: 3, Disabled: world.Faults})
	if r.Violation != nil || len(r.Faults) > 0 {
		t.Errorf("%v, %v", r.Violation, r.Faults)
	}
}

// TestBug_PlantedBugsAreCaught plants a few of testdata/bugs, one for each way of
// catching; "sim -bugs" plants all.
func TestBug_PlantedBugsAreCaught(t *testing.T) {
	for _, name := range []string{"fence-forgotten", "map-order-in-placing", "hold-lost-in-a-reload", "engine-kept-after-a-panic"} {
		t.Run(name, func(t *testing.T) {
			bugs, err := campaign.Bugs(t.Context(), filepath.Join("testdata", "bugs", name+".txt"))
			if err != nil {
				t.Fatal(err)
			}
			caught, err := bugs[0].Run(t.Context())
			if err != nil || caught == "" {
				t.Errorf("not caught: %v", err)
			}
		})
	}
}

// TestBug_HarmlessMutationNotCaught: a mutation without effect is not caught, and an invalid one is an error.
func TestBug_HarmlessMutationNotCaught(t *testing.T) {
	dir := t.TempDir()
	for name, c := range map[string]struct{ text, err string }{
		"harmless":  {"# Nothing.\nfile: internal/engine/doc.go\nold:\npackage engine\nnew:\npackage engine // the same\n", ""},
		"absent":    {"# Its place is gone.\nfile: internal/engine/doc.go\nold:\nno such line\nnew:\nx\n", "is 0 times"},
		"broken":    {"# It does not compile.\nfile: internal/engine/doc.go\nold:\npackage engine\nnew:\npackage engine; x\n", "go build"},
		"shapeless": {"# It has no file.\nold:\nx\nnew:\ny\n", "is missing"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(dir, name+".txt")
			if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
			caught, err := run(t.Context(), path)
			if caught != "" || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
				t.Errorf("caught %q, error %v", caught, err)
			}
		})
	}
}

func run(ctx context.Context, path string) (string, error) {
	bugs, err := campaign.Bugs(ctx, path)
	if err != nil {
		return "", err
	}
	bugs[0].Seeds = 1
	return bugs[0].Run(ctx)
}
