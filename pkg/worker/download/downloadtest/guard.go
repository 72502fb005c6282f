package downloadtest

import (
	"testing"

	"github.com/aria-cluster/dispatcher/pkg/worker/guard"
)

// Loopback is the guard of most tests, whose servers are there.
func Loopback(t *testing.T) *guard.Guard {
	t.Helper()
	return Allowing(t, "loopback")
}

// Allowing is a guard that allows these networks besides the public ones.
func Allowing(t *testing.T, list ...string) *guard.Guard {
	t.Helper()
	n, err := guard.ParseNetworks(list)
	if err != nil {
		t.Fatal(err)
	}
	return guard.New(n, nil)
}
