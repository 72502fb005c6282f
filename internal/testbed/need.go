package testbed

import (
	"cmp"
	"os"
	"os/exec"
	"testing"
)

// debian names the packages of programs that are not called like them.
var debian = map[string]string{"aria2c": "aria2", "node": "nodejs", "systemd-analyze": "systemd"}

// module names the packages of programs that Debian does not have.
var module = map[string]string{"nats": "github.com/nats-io/natscli/nats@v0.5.1"} // as .ci/run

// Need returns the path of a program. Where there is none, the test ends as
// Missing says.
func Need(t testing.TB, program string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		Missing(t, program, err)
	}
	return path
}

// Missing ends a test that cannot be run because of err, without the program, and
// says how to install it. Who has only Go can still run the other tests; with
// ARIA_TEST_REQUIRE=1, which .ci/run sets after it has installed everything, it is
// a failure.
func Missing(t testing.TB, program string, err error) {
	t.Helper()
	install := "apt-get install " + cmp.Or(debian[program], program)
	if path := module[program]; path != "" {
		install = "go install " + path
	}
	if os.Getenv("ARIA_TEST_REQUIRE") == "1" {
		t.Fatalf("ARIA_TEST_REQUIRE=1, but %v (%s)", err, install)
	}
	t.Skipf("NOT TESTED: %v (%s)", err, install)
}
