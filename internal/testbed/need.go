package testbed

import (
	"os"
	"os/exec"
	"testing"
)

// Need returns the path of a program. Where there is none, the test ends as
// Missing says.
func Need(t testing.TB, program, install string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		Missing(t, err, install)
	}
	return path
}

// Missing ends a test whose tool is not here, and names the command that installs
// it: who has only Go can run the other tests. With ARIA_TEST_REQUIRE=1, which
// .ci/run sets after it has installed everything, it is a failure instead.
func Missing(t testing.TB, err error, install string) {
	t.Helper()
	if os.Getenv("ARIA_TEST_REQUIRE") == "1" {
		t.Fatalf("ARIA_TEST_REQUIRE=1, but %v (%s)", err, install)
	}
	t.Skipf("NOT TESTED: %v (%s)", err, install)
}
