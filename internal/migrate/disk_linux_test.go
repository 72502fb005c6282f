package migrate

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/aria-cluster/dispatcher/internal/testbed"
)

// A backup, a restore and copies onto a full disk say that the disk is full, name the target,
// leave nothing behind, and leave the file that was there unchanged.
func TestFullDisk_LeavesTargetAndNothingElse(t *testing.T) {
	testbed.OnASmallDisk(t, 2, func(t *testing.T, disk string) {
		dir := t.TempDir()
		seed(t, filepath.Join(dir, "big.db"), 6000, 5)
		before := seed(t, filepath.Join(dir, "small.db"), 50, 5)
		target := filepath.Join(disk, "small.db")
		must(t, dir, "backup", "--sqlite-path", "small.db", "--to", target)
		for _, args := range [][]string{
			{"backup", "--sqlite-path", "big.db", "--to", filepath.Join(disk, "b.db")},
			{"restore", "--from", "big.db", "--sqlite-path", target},
			{"--source", "big.db", "--target", filepath.Join(disk, "c.db")},
			{"--source", "big.db", "--target", filepath.Join(disk, "c.jsonl")},
			{"--source", "big.db", "--target", target, "--on-conflict", "replace"},
		} {
			o := migrate(t, dir, args...)
			if o.code != 1 || !strings.Contains(o.stderr, "disk is full") && !strings.Contains(o.stderr, "no space left") || !strings.Contains(o.stderr, disk) {
				t.Errorf("%v: exit %d\n%s", args, o.code, o.stderr)
			}
			left, err := filepath.Glob(filepath.Join(disk, "*"))
			if err != nil || len(left) == 0 {
				t.Fatal(left, err)
			}
			for _, path := range left {
				if name := filepath.Base(path); !strings.HasPrefix(name, "small.db") || strings.Contains(name, "migrating") || strings.Contains(name, "partial") {
					t.Errorf("%v left %s", args, name)
				}
			}
			if got := digest(t, target); got != before {
				t.Errorf("%v changed the file that was there", args)
			}
		}
	})
}
