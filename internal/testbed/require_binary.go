package testbed

import (
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"testing"
)

// debian names the packages of programs that are not called like them.
var debian = map[string]string{"aria2c": "aria2", "node": "nodejs", "systemd-analyze": "systemd"}

// module names the packages of programs that Debian does not have.
var module = map[string]string{"nats": "github.com/nats-io/natscli/nats@v0.5.1"} // as .ci/run

// RequireBinary returns the path of a program. If it is not installed, the test ends as
// Missing says.
func RequireBinary(t testing.TB, program string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		Missing(t, program, err)
	}
	return path
}

// Missing ends a test that cannot be run because of err, without the program, and
// states how to install it. With only Go installed the other tests still run; with
// ARIA_TEST_REQUIRE=1, which .ci/run sets after it has installed everything, it is a
// failure.
func Missing(t testing.TB, program string, err error) {
	t.Helper()
	install := "apt-get install " + cmp.Or(debian[program], program)
	if path := module[program]; path != "" {
		install = "go install " + path
	}
	Unsupported(t, fmt.Sprintf("%v (%s)", err, install))
}

// Unsupported ends a test that this machine cannot run, and states the reason. With
// ARIA_TEST_REQUIRE=1 that is a failure.
func Unsupported(t testing.TB, why string) {
	t.Helper()
	if os.Getenv("ARIA_TEST_REQUIRE") == "1" {
		t.Fatalf("ARIA_TEST_REQUIRE=1, but %s", why)
	}
	t.Skipf("NOT TESTED: %s", why)
}
