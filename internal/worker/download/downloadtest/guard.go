package downloadtest

import (
	"testing"

	"github.com/aria-cluster/dispatcher/internal/netguard"
)

// Loopback is the guard of most tests, whose servers are there.
func Loopback(t *testing.T) *netguard.Guard {
	t.Helper()
	return Allowing(t, "loopback")
}

// Allowing is a guard that allows these networks besides the public ones.
func Allowing(t *testing.T, list ...string) *netguard.Guard {
	t.Helper()
	n, err := netguard.ParseNetworks(list)
	if err != nil {
		t.Fatal(err)
	}
	return netguard.New(n, nil)
}
