package migrate

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aria-cluster/dispatcher/internal/testbed"
)

// damageVersions makes the table of schema versions of a SQLite file unreadable.
func damageVersions(t *testing.T, path string) {
	t.Helper()
	out, err := exec.Command(testbed.RequireBinary(t, "sqlite3"), path, "SELECT rootpage FROM sqlite_schema WHERE name = 'goose_db_version'").Output()
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	page := 0
	for _, digit := range strings.TrimSpace(string(out)) {
		page = page*10 + int(digit-'0')
	}
	copy(file[(page-1)*4096:], bytes.Repeat([]byte{0xa5}, 4096))
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestDamagedFile_GivesOneSentence: the dispatcher and every command of migrate
// that meets the file say the same as migrate verify does.
func TestDamagedFile_GivesOneSentence(t *testing.T) {
	dir := t.TempDir()
	seed(t, filepath.Join(dir, "good.db"), 10, 2)
	path := filepath.Join(dir, "a.db")
	seed(t, path, 10, 2)
	damageVersions(t, path)
	const want = "the file is damaged; put a backup in its place"
	for _, args := range [][]string{
		{"verify", "a.db"},
		{"schema", "status", "a.db"},
		{"schema", "up", "a.db"},
		{"--source", "a.db", "--target", "r.jsonl"},
		{"--source", "good.db", "--target", "a.db"},
		{"restore", "--from", "a.db", "--sqlite-path", "good.db"},
	} {
		if o := migrate(t, dir, args...); o.code != 1 || !strings.Contains(o.stderr, want) || strings.Contains(o.stderr, "create version table") {
			t.Errorf("migrate %v: exit %d\n%s", args, o.code, o.stderr)
		}
	}
	cmd := exec.Command(filepath.Join(filepath.Dir(binary), "dispatcher"), "-db-type", "sqlite", "-db-path", path, "-nats-listen", "", "-http-listen", "")
	cmd.Dir, cmd.Env = dir, []string{"HOME=" + dir}
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), want) || strings.Contains(string(out), "create version table") {
		t.Errorf("dispatcher: %v\n%s", err, out)
	}
}
