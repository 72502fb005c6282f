package migrate

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/internal/testbed/testpostgres"
	"github.com/aria-cluster/dispatcher/pkg/repo"
	"github.com/aria-cluster/dispatcher/pkg/repo/copytest"
	"github.com/aria-cluster/dispatcher/pkg/repo/sqlite"
)

// binary is the built program.
var binary string

func TestMain(m *testing.M) {
	defer testpostgres.Stop()
	testbed.Main(m, func(dir string) error {
		binary = filepath.Join(dir, "migrate")
		return testbed.Build(dir, "../../cmd/migrate", "../../cmd/dispatcher")
	})
}

// outcomeOf is what a run of the program left behind.
type outcomeOf struct {
	code   int
	stdout string
	stderr string
}

// command returns the program to be started in dir, with arguments and no
// configuration but its own.
func command(dir string, args ...string) *exec.Cmd {
	cmd := exec.Command(binary, args...)
	cmd.Dir = dir
	cmd.Env = []string{"HOME=" + dir, "PATH=" + os.Getenv("PATH"), "TMPDIR=" + os.TempDir()}
	return cmd
}

// migrate runs the program in dir.
func migrate(t *testing.T, dir string, args ...string) outcomeOf {
	t.Helper()
	cmd := command(dir, args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return outcomeOf{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// must runs the program and fails unless it succeeds.
func must(t *testing.T, dir string, args ...string) outcomeOf {
	t.Helper()
	o := migrate(t, dir, args...)
	if o.code != 0 {
		t.Fatalf("migrate %v: exit %d\n%s%s", args, o.code, o.stdout, o.stderr)
	}
	return o
}

// moved runs a copy and returns its statistics.
func moved(t *testing.T, dir string, args ...string) result {
	t.Helper()
	o := must(t, dir, append(args, "--json")...)
	return decode(t, []byte(o.stdout))
}

// decode reads what a copy printed.
func decode(t *testing.T, out []byte) (r result) {
	t.Helper()
	if err := json.Unmarshal(out, &r); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return r
}

// seed makes a store in a file and returns its digest.
func seed(t *testing.T, path string, tasks, workers int) repo.Digest {
	t.Helper()
	t.Helper()
	s, err := sqlite.Open(t.Context(), sqlite.Config{Path: path, Synchronous: sqlite.Normal})
	if err != nil {
		t.Fatal(err)
	}
	if err := copytest.Fill(t.Context(), s, tasks, workers); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return digest(t, path)
}

// digest returns what a SQLite file holds.
func digest(t *testing.T, path string) repo.Digest {
	t.Helper()
	s, err := sqlite.OpenReadOnly(context.Background(), path)
	if err != nil {
		t.Fatal(err)
	}
	d, err := copytest.Digest(context.Background(), s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}
