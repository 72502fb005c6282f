package migrate

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestMigrate_RefusesMissingFolder: a folder that does not exist is more often a
// mistyped path than a wish, so that each command that writes a file says so and
// makes nothing; --mkdir makes the folder.
func TestMigrate_RefusesMissingFolder(t *testing.T) {
	dir := t.TempDir()
	seed(t, filepath.Join(dir, "a.db"), 10, 2)
	for _, args := range [][]string{
		{"--source", "a.db", "--target", "new/one/b.db"},
		{"--source", "a.db", "--target", "new/one/b.jsonl"},
		{"--source", "a.db", "--target", "sqlite", "--sqlite-path", "new/one/b.db"},
		{"--source", "a.db", "--target", "sqlite"}, // data/dispatcher.db
		{"backup", "--sqlite-path", "a.db", "--to", "new/one/b.db"},
		{"restore", "--from", "a.db", "--sqlite-path", "new/one/b.db"},
	} {
		folder := filepath.Join(dir, "new")
		if args[len(args)-1] == "sqlite" {
			folder = filepath.Join(dir, "data")
		}
		o := migrate(t, dir, args...)
		if _, err := os.Stat(folder); err == nil || o.code != 1 ||
			!strings.Contains(o.stderr, "does not exist") || !strings.Contains(o.stderr, "--mkdir makes it") {
			t.Errorf("migrate %v: exit %d, folder %v\n%s%s", args, o.code, err, o.stdout, o.stderr)
		}
		must(t, dir, append(args, "--mkdir")...)
		if err := os.RemoveAll(folder); err != nil {
			t.Error(err)
		}
	}
}

// TestDryRun_MakesNoFolder: a dry run changes nothing, so it has no --mkdir either.
func TestDryRun_MakesNoFolder(t *testing.T) {
	dir := t.TempDir()
	seed(t, filepath.Join(dir, "a.db"), 10, 2)
	for _, target := range []string{"new/b.db", "new/b.jsonl"} {
		if o := migrate(t, dir, "--source", "a.db", "--target", target, "--dry-run"); o.code != 1 {
			t.Errorf("%s: %+v", target, o)
		}
		if o := migrate(t, dir, "--source", "a.db", "--target", target, "--dry-run", "--mkdir"); o.code != 2 {
			t.Errorf("%s with --mkdir: %+v", target, o)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "new")); err == nil {
		t.Error("the folder was made")
	}
}
