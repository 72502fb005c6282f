package download

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What is held for the folder of a job counts for its neighbours, and not for itself or for a
// folder elsewhere, until it is released.
func TestSpace_CountsWhatNeighboursNeed(t *testing.T) {
	var s Space
	one, two := t.TempDir(), t.TempDir() // of one parent
	elsewhere := filepath.Join(one, "task")
	if err := os.Mkdir(elsewhere, 0o755); err != nil {
		t.Fatal(err)
	}
	const all = int64(1) << 60
	if err := s.Reserve(one, 0, func() int64 { return all }); err != nil {
		t.Fatal(err)
	}
	var full *SpaceError
	if err := s.Check(two, 1); !errors.As(err, &full) || !strings.Contains(err.Error(), "running downloads need") {
		t.Errorf("beside a neighbour that needs all: %v", err)
	}
	for name, err := range map[string]error{
		"itself": s.Check(one, 1), "elsewhere": s.Check(elsewhere, 1), "of unknown length": s.Check(two, -1),
	} {
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	s.Release(one)
	if err := s.Check(two, 1); err != nil {
		t.Errorf("after the release: %v", err)
	}
}
