package migrate

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A restore checks the backup and keeps the old file.
func TestRestore_ChecksBackupAndKeepsOldFile(t *testing.T) {
	dir := t.TempDir()
	old := seed(t, filepath.Join(dir, "a.db"), 300, 5)
	want := seed(t, filepath.Join(dir, "backup.db"), 200, 5)

	damaged, err := os.ReadFile(filepath.Join(dir, "backup.db"))
	if err != nil {
		t.Fatal(err)
	}
	copy(damaged[len(damaged)/2:], strings.Repeat("x", 20_000))
	for name, content := range map[string][]byte{"damaged.db": damaged, "cut.db": damaged[:len(damaged)/3], "notes.db": []byte("my notes")} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
		if o := migrate(t, dir, "restore", "--from", name, "--sqlite-path", "a.db"); o.code != 1 || !strings.Contains(o.stderr, name) {
			t.Errorf("%s: exit %d\n%s", name, o.code, o.stderr)
		}
	}
	if got := digest(t, filepath.Join(dir, "a.db")); got != old {
		t.Errorf("the file holds %v, not %v", got, old)
	}
	os.Remove(filepath.Join(dir, "a.db-wal")) // of reading just now
	os.Remove(filepath.Join(dir, "a.db-shm"))

	o := must(t, dir, "restore", "--from", "backup.db", "--sqlite-path", "a.db")
	if got := digest(t, filepath.Join(dir, "a.db")); got != want {
		t.Errorf("restored %v, want %v", got, want)
	}
	kept := files(t, dir, "a.db.before-restore-")
	if kept == "" || !strings.Contains(o.stdout, kept) {
		t.Fatalf("kept is %q\n%s", kept, o.stdout)
	}
	if got := digest(t, filepath.Join(dir, kept)); got != old {
		t.Errorf("kept is %v, want %v", got, old)
	}
	if left := files(t, dir, "a.db.migrating"); left != "" {
		t.Errorf("%s is left", left)
	}
	if got := digest(t, filepath.Join(dir, "backup.db")); got != want {
		t.Errorf("the backup holds %v now", got)
	}
}

// A restore works without a target file and over a damaged one.
func TestRestore_MissingOrDamagedTarget(t *testing.T) {
	dir := t.TempDir()
	want := seed(t, filepath.Join(dir, "backup.db"), 200, 5)
	must(t, dir, "restore", "--from", "backup.db", "--sqlite-path", "new/a.db", "--mkdir")
	if got := digest(t, filepath.Join(dir, "new", "a.db")); got != want {
		t.Errorf("restored %v, want %v", got, want)
	}
	if err := os.WriteFile(filepath.Join(dir, "broken.db"), []byte("no SQLite file at all"), 0o600); err != nil {
		t.Fatal(err)
	}
	must(t, dir, "restore", "--from", "backup.db", "--sqlite-path", "broken.db")
	if got := digest(t, filepath.Join(dir, "broken.db")); got != want {
		t.Errorf("restored %v, want %v", got, want)
	}
	if kept := files(t, dir, "broken.db.before-restore-"); kept == "" {
		t.Error("the broken file was not kept")
	}
}

// A backup never overwrites a file.
func TestBackup_NeverOverwritesFile(t *testing.T) {
	dir := t.TempDir()
	seed(t, filepath.Join(dir, "a.db"), 10, 2)
	if err := os.WriteFile(filepath.Join(dir, "b.db"), []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if o := migrate(t, dir, "backup", "--sqlite-path", "a.db", "--to", "b.db"); o.code != 1 {
		t.Errorf("exit %d", o.code)
	}
	if text, err := os.ReadFile(filepath.Join(dir, "b.db")); err != nil || string(text) != "mine" {
		t.Errorf("the file is %q, %v", text, err)
	}
}

// verify names the damage of a file.
func TestVerify_NamesDamage(t *testing.T) {
	dir := t.TempDir()
	seed(t, filepath.Join(dir, "a.db"), 500, 5)
	if o := must(t, dir, "verify", "a.db"); !strings.Contains(o.stdout, "500 tasks, 5 workers") {
		t.Errorf("verify says %s", o.stdout)
	}
	text, err := os.ReadFile(filepath.Join(dir, "a.db"))
	if err != nil {
		t.Fatal(err)
	}
	copy(text[len(text)/2:], strings.Repeat("x", 9000))
	if err := os.WriteFile(filepath.Join(dir, "b.db"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	if o := migrate(t, dir, "verify", "b.db"); o.code != 1 || !strings.Contains(o.stderr, "b.db") {
		t.Errorf("exit %d\n%s", o.code, o.stderr)
	}
	if o := migrate(t, dir, "verify", "b.db", "--json"); o.code != 1 || !strings.Contains(o.stdout, `"error":`) {
		t.Errorf("exit %d\n%s", o.code, o.stdout)
	}
}

// schema status prints the number of the schema.
func TestSchema_StatusPrintsNumber(t *testing.T) {
	dir := t.TempDir()
	seed(t, filepath.Join(dir, "a.db"), 1, 1)
	if o := must(t, dir, "schema", "status", "--sqlite-path", "a.db"); !strings.Contains(o.stdout, "a.db has schema ") {
		t.Errorf("it says %s", o.stdout)
	}
}
