package aria2

import (
	"os"
	"testing"

	"github.com/aria-cluster/dispatcher/pkg/worker/download"
	"github.com/aria-cluster/dispatcher/pkg/worker/download/downloadtest"
)

// needAria2c returns the path of aria2c. Without one the test is skipped, loudly;
// with ARIA_TEST_REQUIRE=1 it fails.
func needAria2c(t *testing.T) string {
	t.Helper()
	path, _, err := Find(t.Context())
	if err == nil {
		return path
	}
	if os.Getenv("ARIA_TEST_REQUIRE") == "1" {
		t.Fatalf("ARIA_TEST_REQUIRE=1, but %v", err)
	}
	t.Skipf("NOT TESTED: %v (apt-get install aria2)", err)
	return ""
}

func newEngine(t *testing.T, stateDir string) download.Engine {
	t.Helper()
	e, err := New(Config{
		Binary: needAria2c(t), StateDir: stateDir, Slots: 4, Logger: downloadtest.Logger(t),
	})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestTheEngineConforms(t *testing.T) {
	needAria2c(t)
	downloadtest.Run(t, newEngine)
}
