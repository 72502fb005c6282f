package campaign

import (
	"path/filepath"
	"testing"

	"github.com/aria-cluster/dispatcher/internal/testbed"
)

// A planted bug replaces a text that its file has once. `sim -bugs` runs them all.
func TestBugs_FitTheirFiles(t *testing.T) {
	bugs, err := Bugs(testbed.Context(t), "")
	if err != nil {
		t.Fatal(err)
	}
	for i := range bugs {
		b := &bugs[i]
		if _, err := b.mutate(filepath.Join(b.root, filepath.FromSlash(b.File))); err != nil {
			t.Errorf("%s: %v", b.Name, err)
		}
	}
	if len(bugs) < 78 {
		t.Errorf("%d bugs", len(bugs))
	}
}
